// The boxes in front of the rows of a list: one for all, and buttons only while something is selected.

export function startSelection(): void {
  const all = document.querySelector<HTMLInputElement>("input[data-all]");
  const form = document.querySelector<HTMLFormElement>("form.bulk");
  if (!all || !form) return;
  const boxes = () => [...document.querySelectorAll<HTMLInputElement>("input[name=container]")];
  const show = () => {
    const chosen = boxes().filter((box) => box.checked).length;
    all.checked = chosen > 0 && chosen === boxes().length;
    all.indeterminate = chosen > 0 && !all.checked;
    for (const button of form.querySelectorAll("button")) button.disabled = chosen === 0;
    const count = form.querySelector("[data-count]");
    if (count) count.textContent = chosen === 1 ? "1 selected" : `${chosen} selected`;
  };
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    show();
  });
  document.addEventListener("change", (e) => {
    if ((e.target as HTMLElement).matches?.("input[name=container]")) show();
  });
  addEventListener("pageshow", show); // a browser that goes back restores the boxes
  show();
}
