#!/usr/bin/env python3
"""A Kubernetes of one node for the tests: built from its Go modules, in namespaces of its own, gone when it is stopped.

Its programs share one process, one mount and one network namespace, whose first process is this file's
``serve``. When that process ends, the kernel ends all others and takes their mounts, links and firewall
rules along, so that nothing can be left behind but control groups, which ``down`` removes.

The host reaches the node, its pods and its services over a pair of links. Needs root, Linux and Go; what
else is missing is installed with apt-get.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = Path(os.environ.get("ODIBI_CLUSTER_DIR") or Path.home() / ".cache" / "odibi-cluster")
BIN, CONFIG, LOG = CACHE / "bin", CACHE / "config", CACHE / "log"
LAYOUT = CACHE / "layout"
SOCKET = CACHE / "containerd.sock"
PID = CACHE / "serve.pid"
KUBECONFIG = CONFIG / "admin.kubeconfig"

# Outside of root's home, because pods find it under the same name, as a user who may not enter that.
DATA = Path(os.environ.get("ODIBI_CLUSTER_SHARED") or "/srv/odibi-cluster")
AUDIT = LOG / "audit.json"

NODE = "node"
LINK = "odibi-cluster"
HOST_IP, NODE_IP = "10.212.0.1", "10.212.0.2"
PODS, SERVICES, API_SERVICE = "10.213.0.0/16", "10.214.0.0/16", "10.214.0.1"

VERSION = re.findall('__version__ = "(.*)"', (ROOT / "odibi" / "__init__.py").read_text("utf-8"))[0]
DEBIAN = "localhost/debian:bookworm-slim"
PAUSE = "localhost/pause:1"
WORKER, SPARK, TESTS = (f"localhost/{name}:{VERSION}" for name in ("odibi", "odibi-spark", "odibi-tests"))

DEPENDENCIES = f"localhost/odibi-dependencies:{VERSION}"

# Its client warns with each call of what the machine is.
QUIET = os.environ | {"CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS": "true"}

CODE = {"odibi": "code"}  # marks the layers that ``code`` makes

# One module each: in one together, each would be built with dependencies that another one chose.
KUBERNETES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kubectl",
    "kube-proxy",
)
CONTAINERD = ("containerd", "containerd-shim-runc-v2", "ctr")
CNI = ("main/bridge", "main/loopback", "ipam/host-local")

# The kubelet sets these for the whole machine. It is given files of its own in their places.
KERNEL = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command that must succeed."""
    return subprocess.run([str(word) for word in command], check=True, text=True, **options)


def output(*command: str | Path, **options: Any) -> str:
    """What a command that must succeed prints."""
    return run(*command, stdout=subprocess.PIPE, **options).stdout.strip()


def works(*command: str | Path) -> bool:
    """Whether a command succeeds."""
    return subprocess.run([str(word) for word in command], capture_output=True, check=False).returncode == 0


def say(text: str) -> None:
    """Tell how far we are."""
    print(f"cluster: {text}", flush=True)


def wait(seconds: float, what: str, condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"cluster: {what}: not within {seconds:.0f} s; see {LOG}")
        time.sleep(0.2)


def digest(*files: Path) -> str:
    """One hash of several files."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


# --- what it is made of


def install() -> None:
    """Install the Debian packages that are missing."""
    wanted = {"buildah": "buildah", "debootstrap": "debootstrap", "gcc": "gcc libc6-dev", "ip": "iproute2"}
    wanted |= {"iptables": "iptables", "openssl": "openssl", "pkg-config": "pkg-config"}
    missing = [package for program, package in wanted.items() if not shutil.which(program)]
    if "pkg-config" in missing or not works("pkg-config", "libseccomp"):
        missing.append("libseccomp-dev")
    if missing:
        say(f"installing {' '.join(missing)}")
        packages = " ".join(missing).split()
        command = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages)
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        if not works(*command):
            run("apt-get", "update", "--quiet", env=environment)
            run(*command, env=environment)


def build() -> None:
    """Build the programs, where go.mod or Go itself has changed."""
    go = shutil.which("go") or "/usr/local/go/bin/go"
    environment = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "-trimpath -buildvcs=false"}
    modules = sorted(HERE.glob("*/go.*"))
    stamp, now = BIN / "built", f"{digest(*modules)} {output(go, 'version')}"
    if stamp.is_file() and stamp.read_text("utf-8") == now:
        return
    (BIN / "cni").mkdir(parents=True, exist_ok=True)

    def make(module: str, to: Path, *packages: str, flags: str = "", tags: str = "", c: bool = False) -> None:
        options = ("-tags", tags, "-ldflags", f"-s -w {flags}", "-o", str(to))
        run(
            go,
            "build",
            *options,
            *packages,
            cwd=HERE / module,
            env=environment | {"CGO_ENABLED": str(int(c))},
        )

    say("building Kubernetes and what it runs on (ten minutes the first time)")
    source = "k8s.io/kubernetes"
    version = output(go, "list", "-m", "-f", "{{.Version}}", source, cwd=HERE / "kubernetes", env=environment)
    major, minor, _ = version.removeprefix("v").split(".")
    package = "k8s.io/component-base/version"
    told = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    flags = " ".join(f"-X {package}.{name}={value}" for name, value in told.items())
    make("kubernetes", BIN, *(f"{source}/cmd/{name}" for name in KUBERNETES), flags=flags)
    make("kubernetes", BIN / "etcd", "go.etcd.io/etcd/server/v3")
    source = "github.com/containerd/containerd/v2/cmd"
    make("containerd", BIN, *(f"{source}/{name}" for name in CONTAINERD), tags="no_btrfs,no_devmapper,no_zfs")
    # Without seccomp, which is C, no pod with the default profile would start.
    make("runc", BIN, "github.com/opencontainers/runc", tags="seccomp,netgo,osusergo", c=True)
    source = "github.com/containernetworking/plugins/plugins"
    make("cni", BIN / "cni", *(f"{source}/{name}" for name in CNI))
    stamp.write_text(now, "utf-8")


def buildah(*command: str | Path) -> str:
    """Run buildah on a store of our own."""
    store = ("--root", CACHE / "storage", "--runroot", CACHE / "storage-run", "--storage-driver", "overlay")
    return output("buildah", *store, *command, env=os.environ | {"BUILDAH_ISOLATION": "chroot"})


def image(name: str, file: Path, *arguments: str, context: Path = ROOT) -> None:
    """Build an image."""
    # Packages are fetched while it is built, and this machine alone knows how to reach them.
    ignore = Path(f"{file}.dockerignore")
    options = ["--ignorefile", str(ignore)] if ignore.is_file() else []
    for argument in arguments:
        options += ("--build-arg" if "=" in argument else "--target", argument)
    fixed = ("bud", "--quiet", "--layers", "--network", "host")
    buildah(*fixed, *options, "--tag", name, "--file", file, context)


@dataclass(frozen=True)
class Image:
    """An image: built from a Dockerfile and the files that it takes, on the images that its arguments name.

    odibi's own code is none of these: :func:`code` lays it over.
    """

    name: str
    file: Path
    arguments: tuple[str, ...] = ()
    context: Path = ROOT
    takes: tuple[Path, ...] = ()


def wanted() -> tuple[Image, ...]:
    """The images, each after those that it stands on."""
    docker, base = ROOT / "docker", f"BASE={DEBIAN}"
    constraints = docker / "constraints.txt"
    worker = (constraints, ROOT / "pyproject.toml")
    spark = (constraints, *(docker / name for name in ("jars.xml", "entrypoint.sh", "decommission.sh")))
    on = (f"BASE={DEPENDENCIES}", f"ODIBI={WORKER}")
    return (
        Image(DEBIAN, HERE / "debian.Dockerfile", context=CACHE),
        Image(PAUSE, HERE / "pause.Dockerfile", (base,), HERE),
        Image(DEPENDENCIES, docker / "Dockerfile", (base, "dependencies"), takes=worker),
        Image(WORKER, docker / "Dockerfile", (base,), takes=worker),
        Image(SPARK, docker / "spark.Dockerfile", on, takes=spark),
    )


def images() -> None:
    """Build those images that what they are made of has changed of, and give them to the cluster if it runs."""
    base = CACHE / "debian.tar"
    if not base.is_file():
        say("making the Debian that the images stand on")
        debian(base)
    file = CACHE / "images.json"
    before = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    now: dict[str, str] = {}
    for one in wanted():
        under = [now.get(argument.partition("=")[2], argument) for argument in one.arguments]
        made = (
            f"{base.stat().st_mtime_ns} {digest(one.file)} {under} {[contents(file) for file in one.takes]}"
        )
        now[one.name] = hashlib.sha256(made.encode()).hexdigest()
        if before.get(one.name) != now[one.name]:
            say(f"building {one.name}")
            image(one.name, one.file, *one.arguments, context=one.context)
            file.write_text(json.dumps(before | now), "utf-8")
    if serving():
        load()


def contents(file: Path) -> str:
    """A hash of what the images take of a file: the settings of development tools end pyproject.toml."""
    return hashlib.sha256(file.read_bytes().partition(b"\n[tool.ruff]")[0]).hexdigest()


def debian(target: Path) -> None:
    """Make a small Debian with Python, which trusts whom this machine trusts."""
    tree = CACHE / "debian"
    shutil.rmtree(tree, ignore_errors=True)
    with (CACHE / "debootstrap.log").open("w", encoding="utf-8") as log:
        packages = "--include=ca-certificates,python3,python3-venv"
        run("debootstrap", "--variant=minbase", packages, "bookworm", tree, stdout=log, stderr=log)
    own = Path("usr/local/share/ca-certificates")
    shutil.copytree("/" / own, tree / own, dirs_exist_ok=True)
    run("chroot", tree, "update-ca-certificates", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    trusted = "/etc/ssl/certs/ca-certificates.crt"
    (tree / "etc" / "pip.conf").write_text(f"[global]\ncert = {trusted}\n", "utf-8")
    for waste in (*tree.glob("var/cache/apt/archives/*.deb"), *tree.glob("var/lib/apt/lists/*_*")):
        waste.unlink()
    part = target.with_suffix(".part")
    run("tar", "--create", "--file", part, "--directory", tree, ".")
    shutil.rmtree(tree)
    part.rename(target)


def ctr(*command: str | Path) -> str:
    """Run containerd's own client, with what the kubelet sees."""
    return output(BIN / "ctr", "--address", SOCKET, "--namespace", "k8s.io", *command, env=QUIET)


def load() -> None:
    """Give containerd the images that it does not have, and of those the layers that it does not have."""
    stamp = CACHE / "loaded.json"
    loaded = json.loads(stamp.read_text("utf-8")) if stamp.is_file() else {}
    built = {name: buildah("images", "--quiet", "--no-trunc", name) for name in (PAUSE, WORKER, SPARK)}
    changed = [name for name, identity in built.items() if loaded.get(name) != identity]
    if not changed:
        return
    shutil.rmtree(LAYOUT, ignore_errors=True)
    for name in changed:
        # Compressed they would be written, read and unpacked on one machine.
        buildah("push", "--quiet", "--disable-compression", name, f"oci:{LAYOUT}:{name}")
    index = json.loads((LAYOUT / "index.json").read_text("utf-8"))
    parts: set[str] = set()
    for entry in index["manifests"]:
        name = entry["annotations"].pop("org.opencontainers.image.ref.name")
        entry["annotations"]["io.containerd.image.name"] = name
        manifest = json.loads(blob(entry["digest"]).read_text("utf-8"))
        parts |= {part["digest"] for part in (entry, manifest["config"], *manifest["layers"])}
    new = sorted(parts - set(ctr("content", "ls", "--quiet").split()))
    say(f"importing {len(new)} of {len(parts)} parts of images")
    give(index, {name: blob(name) for name in new})
    shutil.rmtree(LAYOUT)
    stamp.write_text(json.dumps(built), "utf-8")


def give(index: dict[str, Any], blobs: dict[str, bytes | Path]) -> None:
    """Import images, of which these parts are new to containerd."""
    command = [str(BIN / "ctr"), "--address", str(SOCKET), "--namespace", "k8s.io", "images", "import", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=QUIET) as process:
        assert process.stdin
        with tarfile.open(fileobj=process.stdin, mode="w|") as tar:
            files: dict[str, bytes | Path] = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
            files["index.json"] = json.dumps(index).encode()
            files |= {f"blobs/{name.replace(':', '/')}": part for name, part in blobs.items()}
            for path, content in files.items():
                if isinstance(content, Path):
                    tar.add(content, path)
                else:
                    member = tarfile.TarInfo(path)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    if process.returncode:
        sys.exit("cluster: the images cannot be imported")


def code() -> None:
    """Lay the code as it is now over the images in the cluster: seconds, where building takes minutes.

    The image for tests is the one with Spark and a project over it, as a project's own image would be.
    """
    own = layer({"opt/odibi/app/odibi": [ROOT / "odibi"]})
    project = layer({"work/steps": [ROOT / "steps", HERE / "steps"], "work/configs": [ROOT / "configs"]})
    images = {WORKER: (WORKER, [own]), SPARK: (SPARK, [own]), TESTS: (SPARK, [own, project])}
    there = {line.split()[0]: line.split()[1:3] for line in ctr("images", "ls").splitlines()}
    blobs: dict[str, bytes | Path] = {}

    def keep(content: bytes, like: dict[str, Any]) -> dict[str, Any]:
        name = f"sha256:{hashlib.sha256(content).hexdigest()}"
        blobs[name] = content
        return like | {"digest": name, "size": len(content)}

    def read(name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(ctr("content", "get", name))
        return found

    changed = []
    for name, (base, layers) in images.items():
        kind, manifest_of_it = there[base]
        manifest = read(manifest_of_it)
        config = read(manifest["config"]["digest"])
        while manifest["layers"][-1].get("annotations") == CODE:  # laid over before
            manifest["layers"].pop()
            config["rootfs"]["diff_ids"].pop()
        for content in layers:
            tar_type = "application/vnd.oci.image.layer.v1.tar"
            manifest["layers"].append(keep(content, {"mediaType": tar_type, "annotations": CODE}))
            config["rootfs"]["diff_ids"].append(manifest["layers"][-1]["digest"])
        config.pop("history", None)
        manifest["config"] = keep(json.dumps(config).encode(), manifest["config"])
        entry = keep(json.dumps(manifest).encode(), {"mediaType": kind})
        changed.append(entry | {"annotations": {"io.containerd.image.name": name}})
    give({"schemaVersion": 2, "manifests": changed}, blobs)


def layer(folders: dict[str, list[Path]]) -> bytes:
    """A layer in which each folder has the files of these ones, and nothing of what was there below."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for target, sources in folders.items():
            tar.addfile(tarfile.TarInfo(f"{target}/.wh..wh..opq"))  # also hides what is now deleted
            for source in sources:
                for path in sorted(source.rglob("*")):
                    if "__pycache__" not in path.parts:
                        tar.add(path, f"{target}/{path.relative_to(source)}", recursive=False, filter=_plain)
    return content.getvalue()


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """As it is in an image, whoever has checked it out, and when: equal files are equal layers."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def blob(name: str) -> Path:
    """Where the folder of images keeps a part."""
    return LAYOUT / "blobs" / name.replace(":", "/")


# --- how it is set up


def configure() -> None:
    """Write new keys, tokens and settings."""
    shutil.rmtree(CONFIG, ignore_errors=True)
    CONFIG.mkdir(mode=0o700)
    certificate, key = CONFIG / "api.crt", CONFIG / "api.key"
    # One certificate for all: the API server shows it to its clients and to the kubelet, its key signs tokens.
    names = f"IP:{NODE_IP},IP:127.0.0.1,IP:{API_SERVICE},DNS:kubernetes.default.svc"
    usage = "critical,digitalSignature,keyCertSign"
    run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *(
            "-keyout",
            key,
            "-out",
            certificate,
            "-days",
            "3650",
            "-subj",
            "/O=system:masters/CN=kube-apiserver",
        ),
        *("-addext", f"subjectAltName={names}", "-addext", f"keyUsage={usage}"),
        *("-addext", "extendedKeyUsage=serverAuth,clientAuth"),
        stderr=subprocess.DEVNULL,
    )
    users = {
        "admin": ("admin", "system:masters"),
        "controller-manager": ("system:kube-controller-manager", ""),
        "scheduler": ("system:kube-scheduler", ""),
        "kubelet": (f"system:node:{NODE}", "system:nodes"),
        "proxy": ("system:kube-proxy", ""),
    }
    lines = []
    for name, (user, group) in users.items():
        token = secrets.token_hex()
        lines.append(f'{token},{user},{name},"{group}"\n')
        server = {"server": f"https://{NODE_IP}:6443", "certificate-authority": str(certificate)}
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": LINK, "cluster": server}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": LINK, "context": {"cluster": LINK, "user": name}}],
            "current-context": LINK,
        }
        write(f"{name}.kubeconfig", kubeconfig)
    (CONFIG / "tokens.csv").write_text("".join(lines), "utf-8")
    (CONFIG / "containerd.toml").write_text(containerd_settings(), "utf-8")
    write("kubelet.json", kubelet_settings())
    write("proxy.json", proxy_settings())
    write("audit.json", audit_policy())
    (CONFIG / "cni").mkdir()
    write("cni/10-bridge.conflist", network_settings())


def write(name: str, settings: dict[str, Any]) -> None:
    """Write settings as JSON, which every reader of YAML takes."""
    (CONFIG / name).write_text(json.dumps(settings, indent=2), "utf-8")


def containerd_settings() -> str:
    """The settings of containerd."""
    # Not every root may lower a process's OOM score, and not every machine runs systemd.
    return f"""
version = 3
root = "{CACHE / "containerd"}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
address = "{SOCKET}"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE}"
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{BIN / "cni"}"]
conf_dir = "{CONFIG / "cni"}"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = "{BIN / "runc"}"
SystemdCgroup = false
"""


def kubelet_settings() -> dict[str, Any]:
    """The settings of the kubelet: quick to notice, slow to evict."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": str(CONFIG / "api.crt")}},
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "crashLoopBackOff": {"maxContainerRestartPeriod": "20s"},
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "maxPods": 200,
        "nodeStatusUpdateFrequency": "5s",
        "podLogsDir": "/var/log/pods",
        "resolvConf": "",  # there is no DNS: a look-up fails at once
        "volumePluginDir": str(CACHE / "kubelet" / "plugins"),
    }


def proxy_settings() -> dict[str, Any]:
    """The settings of kube-proxy."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(CONFIG / "proxy.kubeconfig")},
        "clusterCIDR": PODS,
        "conntrack": {"maxPerCore": 0},  # the whole machine's
        "hostnameOverride": NODE,
        "mode": "iptables",
    }


def audit_policy() -> dict[str, Any]:
    """What the API server writes down: who of our accounts asked for what, so that rights can be held against it."""
    accounts = {
        "level": "Metadata",
        "userGroups": ["system:serviceaccounts"],
        "omitStages": ["RequestReceived"],
    }
    own = {"level": "None", "namespaces": ["kube-system", ""]}
    return {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [own, accounts, {"level": "None"}]}


def network_settings() -> dict[str, Any]:
    """The network of the pods: a bridge, whose address is their way out."""
    addresses = {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]}
    addresses |= {"dataDir": "/run/cni"}
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "ipMasq": True, "hairpinMode": True}
    return {"cniVersion": "1.0.0", "name": LINK, "plugins": [bridge | {"ipam": addresses}]}


def programs() -> dict[str, list[str]]:
    """The programs of the node, with their options."""
    certificate, key = f"{CONFIG}/api.crt", f"{CONFIG}/api.key"
    return {
        "etcd": ["--data-dir=/run/etcd", "--unsafe-no-fsync", "--log-level=warn"],
        "containerd": [f"--config={CONFIG}/containerd.toml"],
        "kube-apiserver": [
            "--etcd-servers=http://127.0.0.1:2379",
            f"--advertise-address={NODE_IP}",
            *(f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}"),
            *(f"--kubelet-client-certificate={certificate}", f"--kubelet-client-key={key}"),
            f"--token-auth-file={CONFIG}/tokens.csv",
            *(f"--audit-policy-file={CONFIG}/audit.json", f"--audit-log-path={AUDIT}"),
            "--service-account-issuer=https://kubernetes.default.svc",
            *(f"--service-account-key-file={certificate}", f"--service-account-signing-key-file={key}"),
            f"--service-cluster-ip-range={SERVICES}",
            *("--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"),
            *("--allow-privileged=true", "--kubelet-preferred-address-types=InternalIP", "--event-ttl=2h"),
            # A lost node is a matter of minutes elsewhere.
            *("--default-not-ready-toleration-seconds=20", "--default-unreachable-toleration-seconds=20"),
        ],
        "kube-controller-manager": [
            *(f"--kubeconfig={CONFIG}/controller-manager.kubeconfig", "--leader-elect=false"),
            *(f"--service-account-private-key-file={key}", f"--root-ca-file={certificate}"),
            "--use-service-account-credentials=true",
            *("--node-monitor-period=2s", "--node-monitor-grace-period=16s"),
        ],
        "kube-scheduler": [f"--kubeconfig={CONFIG}/scheduler.kubeconfig", "--leader-elect=false"],
        "kubelet": [
            *(f"--config={CONFIG}/kubelet.json", f"--kubeconfig={CONFIG}/kubelet.kubeconfig"),
            *(f"--hostname-override={NODE}", f"--node-ip={NODE_IP}", f"--root-dir={CACHE}/kubelet"),
        ],
        "kube-proxy": [f"--config={CONFIG}/proxy.json"],
    }


# --- how it runs


def serve() -> None:
    """Be the first process of the cluster: start its programs, start those again that end, until told to stop."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        sys.exit()

    signal.signal(signal.SIGTERM, stop)
    # What is written to these folders ends with the cluster.
    for folder in ("/run", "/var/log", "/var/lib/cni"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "tmpfs", folder)
    for number, name in enumerate(KERNEL):
        setting, own = Path("/proc/sys", name), Path("/run", f"kernel-{number}")
        own.write_bytes(setting.read_bytes())
        run("mount", "--bind", own, setting)
    sys.stdin.readline()  # the network is there
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", "utf-8")

    commands = programs()
    running: dict[int, str] = {}

    def start(name: str) -> None:
        with (LOG / f"{name}.log").open("a", encoding="utf-8") as log:
            command = [str(BIN / name), *commands[name]]
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        running[process.pid] = name

    os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    for name in commands:
        start(name)
    while True:
        pid, status = os.wait()
        if name := running.pop(pid, ""):
            say(f"{name} ended with {os.waitstatus_to_exitcode(status)}, starting it again")
            time.sleep(0.5)
            start(name)


def serving() -> int:
    """The process id of ``serve`` on the host, 0 where none runs."""
    with suppress(OSError, ValueError):
        pid = int(PID.read_text("utf-8"))
        if b"\0serve\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return 0


def inside(pid: int) -> tuple[str, ...]:
    """The beginning of a command that is to run among the cluster's processes."""
    return ("nsenter", "--target", str(pid), "--mount", "--pid", "--net")


def up() -> None:
    """Build what has changed, start the cluster where it does not run, and wait for its node."""
    if os.environ.get("KUBECONFIG") not in (None, "", str(KUBECONFIG)):
        say(f"nothing to start: KUBECONFIG names {os.environ['KUBECONFIG']}")
        return
    if os.geteuid() or sys.platform != "linux":
        sys.exit("cluster: needs root on Linux; elsewhere name a cluster with KUBECONFIG")
    begun = time.monotonic()
    CACHE.mkdir(parents=True, exist_ok=True)
    install()
    build()
    images()
    if not serving():
        started = time.monotonic()
        start()
        ready = time.monotonic()
        say(f"the node is ready after {ready - started:.0f} s, {ready - begun:.0f} s with building")
    code()
    tell()


def start() -> None:
    """Start the cluster and wait for its node."""
    clear()
    configure()
    DATA.mkdir(parents=True, exist_ok=True)
    DATA.chmod(0o1777)
    LOG.mkdir()
    command = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"]
    command += [sys.executable, str(Path(__file__).resolve()), "serve"]
    with (LOG / "serve.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, start_new_session=True, cwd="/"
        )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait(10, "the namespaces", lambda: bool(children.read_text("utf-8")))
    PID.write_text(children.read_text("utf-8").strip(), "utf-8")
    wait(10, "the first process", lambda: bool(serving()))
    connect(serving())
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.close()
    wait(60, "containerd", lambda: works(BIN / "ctr", "--address", SOCKET, "version"))
    load()
    kubectl = (BIN / "kubectl", "--kubeconfig", KUBECONFIG)
    wait(
        120,
        "the node",
        lambda: works(*kubectl, "wait", "--for=condition=Ready", "--timeout=1s", f"node/{NODE}"),
    )
    wait(60, "the default service account", lambda: works(*kubectl, "get", "serviceaccount", "default"))


def connect(pid: int) -> None:
    """Lay the link between the host and the namespace of a process."""
    run("ip", "link", "add", LINK, "type", "veth", "peer", "name", "host", "netns", str(pid))
    run("ip", "address", "add", f"{HOST_IP}/30", "dev", LINK)
    run("ip", "link", "set", LINK, "up")
    for network in (PODS, SERVICES):
        run("ip", "route", "add", network, "via", NODE_IP)
    there = ("nsenter", "--target", str(pid), "--net", "ip")
    run(*there, "address", "add", f"{NODE_IP}/30", "dev", "host")
    run(*there, "link", "set", "host", "up")
    run(*there, "link", "set", "lo", "up")
    run(*there, "route", "add", "default", "via", HOST_IP)


def down() -> None:
    """Stop the cluster and remove what it has left. Programs, images and data stay for the next start."""
    if pid := serving():
        os.kill(pid, signal.SIGTERM)
        wait(30, "the end of all processes", lambda: not Path(f"/proc/{pid}").exists())
    clear()
    say("stopped")


def clear() -> None:
    """Remove what a cluster that has ended leaves: its control groups, its pods' files."""
    tops = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*/")]
    for top in [path / "kubepods" for path in tops]:
        for folder in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
            folder.rmdir()
        if top.exists():
            top.rmdir()
    if works("ip", "link", "show", LINK):
        run("ip", "link", "delete", LINK)
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    for mount in reversed([mount for mount in mounts if mount.startswith(f"{CACHE}/")]):
        works("umount", "--lazy", mount)  # of a build that was ended in its middle
    for path in (CACHE / "kubelet", LOG):
        shutil.rmtree(path, ignore_errors=True)
    for path in (PID, SOCKET):
        path.unlink(missing_ok=True)


def kubeconfig() -> None:
    """Print where the settings of its clients are."""
    if not serving():
        sys.exit("cluster: it does not run; start it with `make cluster`")
    print(KUBECONFIG)


def tell() -> None:
    """Say how to use the cluster."""
    say(f"export KUBECONFIG={KUBECONFIG} PATH={BIN}:$PATH")
    say(f"images (imagePullPolicy: Never): {WORKER} {SPARK} {TESTS}")
    say(f"folder that pods and this machine share (hostPath): {DATA}")
    say(f"this machine is {HOST_IP} to the pods; logs are in {LOG}")


def main() -> None:
    """Run a sub-command."""
    commands: dict[str, Callable[[], None]] = {
        "up": up,
        "down": down,
        "build": build,
        "images": images,
        "code": code,
        "kubeconfig": kubeconfig,
        "serve": serve,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=commands)
    commands[parser.parse_args().command]()


if __name__ == "__main__":
    main()
