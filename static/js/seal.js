// What if the ledger breaks while a page is open? The polled seal turns red by itself; this says it
// once, aloud, and not again with every poll.
(() => {
  let known = document.getElementById("seal")?.dataset.state;
  document.addEventListener("htmx:afterSettle", () => {
    const seal = document.getElementById("seal");
    const state = seal?.dataset.state;
    if (!seal || state === known) return;
    known = state;
    const region = document.getElementById("seal-alert");
    if (region) region.textContent = state === "broken" ? `Ledger broken. ${seal.dataset.detail ?? ""}` : "";
  });
})();
