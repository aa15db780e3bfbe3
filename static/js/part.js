// How does a part with a figure arrive after the page? A box with data-part names the address of
// its part; what comes is put in its place and announced as htmx announces its own, so that
// charts.js draws it. Without script the box holds a link to the part's own page.
(() => {
  const fill = async (box) => {
    const answer = await fetch(box.dataset.part, { headers: { "HX-Request": "true" } });
    if (!answer.ok) return;
    const part = new DOMParser().parseFromString(await answer.text(), "text/html");
    box.replaceChildren(...part.body.childNodes);
    box.dispatchEvent(new CustomEvent("htmx:load", { bubbles: true }));
  };
  const start = () => document.querySelectorAll("[data-part]").forEach(fill);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
