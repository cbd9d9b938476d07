"use strict";
// The page reads well without this: it adds one step at a time, search, zoom and the theme switch.
(() => {
  const root = document.documentElement;
  const themes = ["auto", "dark", "light"];
  const stored = () => {
    try { return localStorage.getItem("odibi-theme"); } catch { return null; }
  };
  const show = (theme) => {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
  };
  let theme = themes.includes(stored()) ? stored() : "auto";
  show(theme);
  addEventListener("error", (event) => { root.dataset.error = event.message; });

  function themeSwitch() {
    const button = document.getElementById("theme");
    button.hidden = false;
    button.textContent = `Theme: ${theme}`;
    button.addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      show(theme);
      button.textContent = `Theme: ${theme}`;
      try { localStorage.setItem("odibi-theme", theme); } catch { /* private mode: not kept */ }
    });
  }

  function stepPages() {
    const pages = document.querySelector(".pages");
    if (!pages) return;
    let page = null;
    const links = new Map();
    for (const link of document.querySelectorAll(".list a")) links.set(link.hash.slice(1), link);
    const nodes = new Map();
    for (const node of document.querySelectorAll(".node")) nodes.set(node.getAttribute("href").slice(1), node);
    const frame = document.querySelector(".graph-frame");
    const open = (anchor, travel) => {
      const next = document.getElementById(anchor);
      if (!next || !next.classList.contains("step")) return;
      if (page) {
        page.classList.remove("current");
        for (const here of [links, nodes]) here.get(page.id).removeAttribute("aria-current");
      }
      page = next;
      page.classList.add("current");
      for (const here of [links, nodes]) here.get(anchor).setAttribute("aria-current", "true");
      const [box, view] = [nodes.get(anchor), frame].map((part) => part.getBoundingClientRect());
      if (box.left < view.left || box.right > view.right || box.top < view.top || box.bottom > view.bottom) {
        frame.scrollBy(box.left - view.left - view.width / 2, box.top - view.top - view.height / 2);
      }
      if (travel) {
        page.scrollIntoView({ behavior: "instant" });
        page.focus({ preventScroll: true });
      }
    };
    const asked = () => location.hash.slice(1);
    root.classList.add("one-step");
    open(pages.dataset.first, false);
    open(asked(), true);
    addEventListener("hashchange", () => open(asked(), true));
  }

  function search() {
    const field = document.getElementById("search");
    if (!field) return;
    const items = [...document.querySelectorAll(".list li")];
    const nothing = document.querySelector(".nothing");
    field.parentElement.hidden = false;
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const item of items) item.hidden = !words.every((word) => item.dataset.words.includes(word));
      for (const group of document.querySelectorAll(".group")) {
        group.hidden = !group.querySelector("li:not([hidden])");
      }
      nothing.hidden = items.some((item) => !item.hidden);
    });
    addEventListener("keydown", (event) => {
      if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
        event.preventDefault();
        field.focus();
      }
    });
  }

  function graph() {
    const drawing = document.getElementById("graph");
    if (!drawing) return;
    const frame = drawing.parentElement;
    const [, , width] = drawing.getAttribute("viewBox").split(" ").map(Number);
    let scale = drawing.getBoundingClientRect().width / width || 1;
    const zoom = (to) => {
      scale = Math.min(Math.max(to, 0.02), 4);
      Object.assign(drawing.style, { width: `${width * scale}px`, minWidth: "0", maxWidth: "none" });
    };
    const acts = {
      fit: () => zoom(Math.min(frame.clientWidth / width, 1)),
      in: () => zoom(scale * 1.25),
      out: () => zoom(scale / 1.25),
    };
    const bar = document.querySelector(".zoom");
    bar.hidden = false;
    bar.addEventListener("click", (event) => acts[event.target.dataset.zoom]?.());

    let from = null;
    frame.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse" && event.button === 0 && !event.target.closest("a")) {
        from = [event.clientX + frame.scrollLeft, event.clientY + frame.scrollTop];
        frame.setPointerCapture(event.pointerId);
      }
    });
    frame.addEventListener("pointermove", (event) => {
      if (from) frame.scrollTo(from[0] - event.clientX, from[1] - event.clientY);
    });
    for (const end of ["pointerup", "pointercancel"]) frame.addEventListener(end, () => { from = null; });

    const lines = new Map();
    for (const line of drawing.querySelectorAll("path[data-from]")) {
      for (const end of [line.dataset.from, line.dataset.to]) {
        if (!lines.has(end)) lines.set(end, []);
        lines.get(end).push(line);
      }
    }
    let lit = [];
    const light = (node) => {
      for (const line of lit) line.classList.remove("lit");
      lit = (node && lines.get(node.getAttribute("href").slice(1))) || [];
      for (const line of lit) line.classList.add("lit");
    };
    for (const event of ["pointerover", "focusin"]) {
      drawing.addEventListener(event, (happened) => light(happened.target.closest("a")));
    }
    drawing.addEventListener("pointerleave", () => light(null));
  }

  addEventListener("DOMContentLoaded", () => {
    for (const part of [themeSwitch, stepPages, search, graph]) part();
    root.dataset.ready = "true";
  });
})();
