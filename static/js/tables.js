// Does this table fit its card? If so its head may stick under the bar; if not it scrolls sideways
// inside the card and the keyboard can reach it. Without script it simply scrolls.
(() => {
  const measure = (wrap) => {
    const table = wrap.querySelector("table");
    if (!table) return;
    const fits = table.offsetWidth <= wrap.clientWidth + 1;
    wrap.classList.toggle("is-fitting", fits);
    if (fits) wrap.removeAttribute("tabindex");
    else wrap.tabIndex = 0;
  };
  const watcher = new ResizeObserver((entries) => entries.forEach((entry) => measure(entry.target)));
  const watch = (within) => {
    for (const wrap of within.querySelectorAll(".table-wrap")) {
      measure(wrap);
      watcher.observe(wrap);
    }
  };
  document.addEventListener("htmx:load", (event) => watch(event.target.parentElement ?? document));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => watch(document));
  else watch(document);
})();
