// How do figures stay fresh? Every second an element with data-live gets the event "o10:live",
// and htmx fetches its parts. Not while the tab is hidden, a menu is open, a form is being filled,
// text is selected, or the keyboard stands inside: a page never moves under a reader's hand.
(() => {
  const EVERY = 1000;
  const busy = (within) => {
    const focused = document.activeElement;
    const selected = window.getSelection?.();
    return (
      document.visibilityState !== "visible" ||
      document.querySelector("details.menu[open], dialog[open]") !== null ||
      (focused !== document.body && within.contains(focused)) ||
      (selected && !selected.isCollapsed)
    );
  };
  setInterval(() => {
    document.querySelectorAll("[data-live]").forEach((element) => {
      if (!busy(element)) element.dispatchEvent(new CustomEvent("o10:live"));
    });
  }, EVERY);
  // The hand may have come between question and answer: the answer is then let go.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { elt, triggeringEvent } = event.detail.requestConfig ?? {};
    if (triggeringEvent?.type === "o10:live" && busy(elt)) event.detail.shouldSwap = false;
  });
})();
