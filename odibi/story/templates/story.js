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
    const open = (asked, travel) => {
      const target = document.getElementById(asked);
      const next = target?.closest("article.step");
      if (!next) return;
      const anchor = next.id;
      if (page) {
        page.classList.remove("current");
        for (const here of [links, nodes]) here.get(page.id).removeAttribute("aria-current");
      }
      page = next;
      page.classList.add("current");
      links.get(anchor).closest("details").open = true;
      for (const here of [links, nodes]) here.get(anchor).setAttribute("aria-current", "true");
      const [box, view] = [nodes.get(anchor), frame].map((part) => part.getBoundingClientRect());
      if (box.left < view.left || box.right > view.right || box.top < view.top || box.bottom > view.bottom) {
        frame.scrollBy(box.left - view.left - view.width / 2, box.top - view.top - view.height / 2);
      }
      if (travel) {
        target.scrollIntoView({ behavior: "instant", block: target === page ? "start" : "center" });
        if (target === page) page.focus({ preventScroll: true });
      }
    };
    const asked = () => location.hash.slice(1);
    root.classList.add("one-step");
    open(pages.dataset.first, false);
    open(asked(), true);
    addEventListener("hashchange", () => open(asked(), true));
  }

  // Searches the pages of the steps (or the lines of the index) for all words, wherever they stand in them.
  function search() {
    const field = document.getElementById("search");
    if (!field) return;
    const found = document.getElementById("found");
    const items = [...document.querySelectorAll(".list li, .runs tbody tr")];
    const anchorOf = (item) => item.querySelector("a")?.hash.slice(1);
    const parts = new Map();
    const part = (element, anchor) => parts.has(anchor) ? parts.get(anchor).push(element) : parts.set(anchor, [element]);
    for (const node of document.querySelectorAll(".node")) part(node, node.getAttribute("href").slice(1));
    for (const row of document.querySelectorAll("tr[data-step]")) part(row, row.dataset.step);
    const texts = new Map();
    const text = (item) => {
      if (!texts.has(item)) {
        const told = item.matches("tr") ? item.closest("section") : null;
        const pages = told ? [item, told.querySelector("h2")] : [document.getElementById(anchorOf(item))];
        texts.set(item, pages.map((page) => page.textContent).join(" ").toLowerCase());
      }
      return texts.get(item);
    };
    const groups = [...document.querySelectorAll("details.group")];
    const open = groups.map((group) => group.open);
    field.closest(".search").hidden = false;
    const look = () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let number = 0;
      for (const item of items) {
        item.hidden = !words.every((word) => text(item).includes(word));
        number += !item.hidden;
        for (const one of parts.get(anchorOf(item)) ?? []) one.classList.toggle("dim", item.hidden);
      }
      groups.forEach((group, index) => {
        group.hidden = !group.querySelector("li:not([hidden])");
        group.open = words.length ? true : open[index];
      });
      for (const none of document.querySelectorAll(".nothing")) none.hidden = number > 0;
      found.textContent = words.length ? `${number} of ${items.length}` : "";
    };
    field.addEventListener("input", look);
    field.addEventListener("keydown", (event) => {
      const first = items.find((item) => !item.hidden)?.querySelector("a");
      if (event.key === "Escape") { field.value = ""; look(); }
      if (event.key === "Enter" && first) first.click();
      if (event.key === "ArrowDown" && first) { event.preventDefault(); first.focus(); }
    });
    addEventListener("keydown", (event) => {
      if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) {
        event.preventDefault();
        field.focus();
      }
    });
    document.querySelector(".list")?.addEventListener("keydown", (event) => {
      const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const here = event.target.closest("li");
      if (!way || !here) return;
      event.preventDefault();
      const shown = items.filter((item) => item.offsetParent);
      (shown[shown.indexOf(here) + way]?.querySelector("a") ?? (way < 0 ? field : null))?.focus();
    });
  }

  function sorting() {
    const table = document.querySelector("table.bars");
    if (!table) return;
    const body = table.tBodies[table.tBodies.length - 1];
    const rows = [...body.rows];
    for (const head of table.querySelectorAll("th[data-by]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const sorted = head.getAttribute("aria-sort");
        for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
        if (sorted) { body.append(...rows); return; }
        head.setAttribute("aria-sort", "descending");
        const value = (row) => Number(row.cells[head.cellIndex].dataset.v);
        body.append(...[...rows].sort((one, other) => value(other) - value(one)));
      });
    }
  }

  // A column that is pointed at shows what it is made of and what is made of it, across all steps.
  function lineage() {
    const rows = new Map();
    for (const row of document.querySelectorAll(".columns tr[id]")) rows.set(row.id, row);
    if (!rows.size) return;
    const sources = (row) => {
      const links = (where, kind) => [...where.querySelectorAll(`.${kind} a`)].map((a) => a.hash.slice(1));
      return { direct: links(row, "direct"), indirect: [...links(row, "indirect"), ...links(row.closest("article"), "decided .indirect")] };
    };
    const up = new Map();
    const down = new Map();
    const link = (map, from, to, kind) => {
      if (!map.has(from)) map.set(from, []);
      map.get(from).push([to, kind]);
    };
    for (const [id, row] of rows) {
      for (const [kind, found] of Object.entries(sources(row))) {
        for (const other of found) { link(up, id, other, kind); link(down, other, id, kind); }
      }
    }
    // What hands values on is followed to its end; what decides on any of these is told, and not followed.
    const reached = (map, start) => {
      const found = new Map();
      const stack = [start];
      while (stack.length) {
        for (const [next, own] of map.get(stack.pop()) ?? []) {
          if (next === start || found.get(next) === "direct" || found.get(next) === own) continue;
          found.set(next, own);
          if (own === "direct") stack.push(next);
        }
      }
      return found;
    };
    const nodes = new Map();
    for (const node of document.querySelectorAll(".node")) nodes.set(node.getAttribute("href").slice(1), node);
    const order = [...nodes.keys()];
    const stepOf = (id) => rows.get(id).closest("article").id;
    const nameOf = (id) => rows.get(id).querySelector("th a").textContent;
    const make = (tag, name, ...inside) => {
      const element = document.createElement(tag);
      element.className = name;
      element.append(...inside);
      return element;
    };
    const told = (title, found) => {
      const steps = new Map();
      for (const [id, kind] of found) {
        if (!steps.has(stepOf(id))) steps.set(stepOf(id), []);
        steps.get(stepOf(id)).push([kind, id]);
      }
      const lines = [...steps].sort(([one], [other]) => order.indexOf(one) - order.indexOf(other)).map(([step, ids]) => {
        const chips = ids.sort().map(([kind, id]) => {
          const a = make("a", kind, nameOf(id));
          a.href = `#${id}`;
          return a;
        });
        return make("li", "", make("b", "", nodes.get(step).querySelector("title").textContent.split(":")[0]), " ", ...chips);
      });
      return lines.length ? [make("p", "label", title), make("ul", "", ...lines)] : [];
    };
    const panel = make("aside", "trace");
    panel.setAttribute("aria-label", "Where the column comes from and goes");
    panel.setAttribute("aria-live", "polite");
    let at = "";
    const trace = (row) => {
      if (!row || row.id === at) return;
      rows.get(at)?.classList.remove("traced");
      at = row.id;
      row.classList.add("traced");
      const [made, used] = [reached(up, at), reached(down, at)];
      const name = nodes.get(stepOf(at)).querySelector("title").textContent.split(":")[0];
      panel.replaceChildren(
        make("p", "", make("b", "", `${name}.${nameOf(at)}`), " ", make("span", "direct key", "handed on"), " ", make("span", "indirect key", "decides which rows or values")),
        ...told("comes from", made), ...told("goes into", used),
        ...(made.size + used.size ? [] : [make("p", "quiet", "No other column of this run is known to be behind it or to follow from it.")]),
      );
      row.closest(".scroll").after(panel);
      for (const node of nodes.values()) node.classList.remove("from-direct", "from-indirect");
      for (const found of [made, used]) {
        for (const [id, kind] of [...found].sort(([, one], [, other]) => (one < other ? 1 : -1))) {
          nodes.get(stepOf(id)).classList.remove("from-direct", "from-indirect");
          nodes.get(stepOf(id)).classList.add(`from-${kind}`);
        }
      }
    };
    for (const event of ["pointerover", "focusin"]) {
      addEventListener(event, (happened) => trace(happened.target.closest?.(".columns tr[id]")));
    }
    const asked = () => trace(rows.get(location.hash.slice(1)));
    addEventListener("hashchange", asked);
    asked();
  }

  function graph() {
    const drawing = document.getElementById("graph");
    if (!drawing) return;
    const frame = drawing.parentElement;
    const [, , width] = drawing.getAttribute("viewBox").split(" ").map(Number);
    let scale = 0;
    const zoom = (to) => {
      scale = Math.min(Math.max(to, 0.02), 4);
      Object.assign(drawing.style, { width: `${width * scale}px`, minWidth: "0", maxWidth: "none" });
    };
    const now = () => scale || drawing.getBoundingClientRect().width / width || 1;
    const acts = {
      fit: () => zoom(Math.min(frame.clientWidth / width, 1)),
      in: () => zoom(now() * 1.25),
      out: () => zoom(now() / 1.25),
    };
    const bar = document.querySelector(".zoom");
    bar.hidden = false;
    bar.addEventListener("click", (event) => {
      const whole = frame.closest("details");
      if (whole) whole.open = true;
      acts[event.target.dataset.zoom]?.();
    });

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
    for (const part of [themeSwitch, stepPages, search, sorting, graph, lineage]) part();
    root.dataset.ready = "true";
  });
})();
