// Which theme and density did this reader choose? Runs before the first paint, so nothing flashes.
// Without a choice, or without script, the page follows the system.
(() => {
  const root = document.documentElement;
  const KEYS = { theme: ["light", "dark"], density: ["compact"] };
  const read = (name) => {
    try {
      return localStorage.getItem(`o10.${name}`) ?? "";
    } catch {
      return "";
    }
  };
  const apply = (name, value) => {
    if (KEYS[name].includes(value)) root.dataset[name] = value;
    else delete root.dataset[name];
  };
  const keep = (name, value) => {
    apply(name, value);
    try {
      if (KEYS[name].includes(value)) localStorage.setItem(`o10.${name}`, value);
      else localStorage.removeItem(`o10.${name}`);
    } catch {
      // Private windows may refuse: the choice then lasts for this page.
    }
    mark();
    document.dispatchEvent(new CustomEvent("o10:appearance"));
  };
  const mark = () => {
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      const chosen = button.dataset.themeChoice === (root.dataset.theme ?? "system");
      button.setAttribute("aria-pressed", String(chosen));
    }
    for (const button of document.querySelectorAll("[data-density-switch]")) {
      button.setAttribute("aria-pressed", String(root.dataset.density === "compact"));
    }
  };

  root.classList.remove("no-script");
  apply("theme", read("theme"));
  apply("density", read("density"));

  document.addEventListener("DOMContentLoaded", mark);
  document.addEventListener("htmx:load", mark);
  document.addEventListener("click", (event) => {
    const theme = event.target.closest("[data-theme-choice]");
    if (theme) keep("theme", theme.dataset.themeChoice);
    if (event.target.closest("[data-density-switch]")) {
      keep("density", root.dataset.density === "compact" ? "" : "compact");
    }
  });
  addEventListener("storage", (event) => {
    if (event.key === "o10.theme") keep("theme", event.newValue ?? "");
  });
})();
