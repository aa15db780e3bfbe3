// What does a copy button copy? data-copy (text) or the link of data-copy-link; says so politely.
(() => {
  const say = (text) => {
    const toast = document.getElementById("toast");
    if (!toast) return;
    toast.textContent = text;
    clearTimeout(say.timer);
    say.timer = setTimeout(() => (toast.textContent = ""), 2400);
  };

  document.addEventListener("click", async (event) => {
    const source = event.target.closest("[data-copy], [data-copy-link]");
    if (!source || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    const text = source.dataset.copy ?? new URL(source.href, location.href).href;
    try {
      await navigator.clipboard.writeText(text);
      say(source.dataset.copied ?? "Copied");
    } catch {
      // No right to the clipboard: a link still leads where it says, a text is shown to be taken.
      if (source.href) location.assign(source.href);
      else say(text);
    }
    const menu = source.closest("details.menu");
    if (menu) menu.open = false;
  });
})();
