import { startDetail } from "./detail";
import { startFigures } from "./figures";
import { startInsert, startUpload } from "./files";
import { startList } from "./list";
import { startLobby } from "./lobby";
import { startSelection } from "./selection";

const detail = document.getElementById("detail");
if (detail) startDetail(detail);

const lobby = document.getElementById("lobby");
if (lobby) startLobby(lobby);

for (const part of document.querySelectorAll<HTMLElement>("[data-figures]")) startFigures(part);

for (const row of document.querySelectorAll<HTMLElement>("tr[data-wait]")) startList(row);

startSelection();
for (const form of document.querySelectorAll<HTMLFormElement>("form[data-upload]")) startUpload(form);
for (const part of document.querySelectorAll<HTMLElement>("[data-insert]")) startInsert(part);

// Menus close like menus do.
const menus = () => document.querySelectorAll<HTMLDetailsElement>("details.menu[open]");
document.addEventListener("click", (e) => {
  for (const menu of menus()) if (!menu.contains(e.target as Node)) menu.open = false;
});
document.addEventListener("keydown", (e) => {
  if (e.key !== "Escape") return;
  for (const menu of menus()) {
    menu.open = false;
    menu.querySelector("summary")?.focus();
  }
});

for (const form of document.querySelectorAll<HTMLFormElement>("form[data-confirm]")) {
  form.addEventListener("submit", (e) => { if (!confirm(form.dataset.confirm)) e.preventDefault(); });
}

for (const button of document.querySelectorAll<HTMLElement>("[data-copy]")) {
  const field = document.getElementById(button.dataset.copy ?? "") as HTMLInputElement | null;
  button.hidden = false;
  button.addEventListener("click", async () => {
    field?.select();
    let copied = false;
    try {
      await navigator.clipboard.writeText(field?.value ?? "");
      copied = true;
    } catch {
      copied = document.execCommand("copy"); // without TLS there is no clipboard
    }
    const text = button.querySelector("span");
    if (text) text.textContent = copied ? "Copied" : "Press Ctrl+C";
  });
}

document.querySelector<HTMLElement>(".is-invalid")?.focus();
