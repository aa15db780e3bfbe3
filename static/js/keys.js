// Which keys work on every page? "/" search, "?" help, "g" and a letter, "j" "k" rows, and every
// element's own data-keys. All of them can be switched off; none acts while somebody types.
(() => {
  const STORE = "o10.keys";
  const off = () => {
    try {
      return localStorage.getItem(STORE) === "off";
    } catch {
      return false;
    }
  };
  let pending = "";
  let timer = 0;

  const typing = (target) =>
    target.isContentEditable || target.matches?.("input, select, textarea, [role='textbox']");

  const rows = () => [...document.querySelectorAll("table[data-rows] tbody tr:has(a[href])")];
  const walk = (step) => {
    const all = rows();
    if (!all.length) return false;
    const now = all.findIndex((row) => row.classList.contains("is-cursor"));
    const next = all[Math.min(Math.max(now + step, 0), all.length - 1)];
    for (const row of all) row.classList.remove("is-cursor");
    next.classList.add("is-cursor");
    next.querySelector("a[href]").focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
    return true;
  };

  const act = (keys) => {
    if (keys === "j") return walk(1);
    if (keys === "k") return walk(-1);
    if (keys === "/") {
      const search = document.querySelector("[data-search]");
      search?.focus();
      search?.select();
      return Boolean(search);
    }
    if (keys === "?") {
      const help = document.getElementById("keys-help");
      if (help && !help.open) help.showModal();
      return Boolean(help);
    }
    const target = document.querySelector(`[data-keys="${CSS.escape(keys)}"]`);
    target?.click();
    return Boolean(target);
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
    if (off() || typing(event.target) || document.querySelector("dialog[open]")) return;
    if (event.key.length !== 1 || event.key === " ") return;
    const keys = pending ? `${pending} ${event.key}` : event.key;
    clearTimeout(timer);
    if (!pending && event.key === "g") {
      pending = "g";
      timer = setTimeout(() => (pending = ""), 1200);
      return;
    }
    pending = "";
    if (act(keys)) event.preventDefault();
  });

  const mark = () => {
    for (const box of document.querySelectorAll("[data-keys-switch]")) box.checked = !off();
  };
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-keys-switch]")) return;
    try {
      if (event.target.checked) localStorage.removeItem(STORE);
      else localStorage.setItem(STORE, "off");
    } catch {
      // Private windows may refuse; the switch then has no memory.
    }
  });
  document.addEventListener("DOMContentLoaded", mark);
  if (document.readyState !== "loading") mark();
})();
