// What happens on a second click on "send"? Nothing: a form that is on its way stays shut.
// Empty fields and column lists are written the short way, so that addresses stay canonical.
(() => {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method === "get") {
      const columns = form.querySelectorAll("input[name='cols']:checked");
      if (columns.length) {
        const list = [...columns].map((box) => box.value).join(",");
        for (const box of form.querySelectorAll("input[name='cols']")) box.disabled = true;
        const field = Object.assign(document.createElement("input"), {
          type: "hidden",
          name: "cols",
          value: list,
        });
        form.append(field);
      }
      for (const field of form.querySelectorAll("input, select")) {
        if (field.name && field.value === "") field.disabled = true;
      }
      return;
    }
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "true";
    form.setAttribute("aria-busy", "true");
  });

  // A page that comes back from the browser's memory can be sent again.
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
      form.removeAttribute("aria-busy");
    }
    for (const field of document.querySelectorAll("form[method='get'] :disabled")) {
      field.disabled = false;
    }
  });
})();
