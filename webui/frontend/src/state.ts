// The state of a container as the server tells it, and how the parts of a page that show it are brought up to date.

export interface LiveState {
  state: string;
  state_color: string;
  state_shown: string;
  state_bell: string | null;
  container_id: string;
  container_ip: string;
  date_last_docker_log: string | null;
  last_action: string;
  image_id: string;
  node: string;
  host_port: string;
  step: string;
  percent: number;
  ongoing: boolean;
  answering: boolean;
  allowed: string[];
}

/** live finds a part of the page that changes. */
export function live(root: ParentNode, name: string): HTMLElement | null {
  return root.querySelector<HTMLElement>(`[data-live="${name}"]`);
}

/** setText leaves what is right already alone, so that screen readers say only what changed. */
export function setText(el: Element | null, text: string): void {
  if (el && el.textContent !== text) el.textContent = text;
}

/** showProgress sets a progress bar; below 0 nobody knows how far it is. */
export function showProgress(bar: HTMLProgressElement | null, percent: number): void {
  if (!bar) return;
  if (percent >= 0) bar.value = percent;
  else bar.removeAttribute("value");
}

/** offer adds the buttons of a row's menu that its visitor may use now. The page comes with those of the time, because a
 * list of a thousand menus with all of them would be slow to open. */
function offer(row: HTMLElement, allowed: string[]): void {
  const menu = row.querySelector<HTMLElement>("[data-may]");
  const all = document.querySelector<HTMLTemplateElement>("#act-buttons");
  if (!menu || !all) return;
  const may = menu.dataset.may?.split(" ") ?? [];
  let after: Element | null = menu.querySelector("a"); // what links lead to comes after the buttons
  for (const button of [...all.content.children].reverse() as HTMLButtonElement[]) {
    const action = button.dataset.action ?? "";
    let here = menu.querySelector<HTMLElement>(`[data-action="${action}"]`);
    if (!here && may.includes(action) && allowed.includes(action)) {
      const made = button.cloneNode(true) as HTMLButtonElement;
      made.setAttribute("formaction", `/containers/${action}/${row.dataset.container}`);
      menu.insertBefore(made, after);
      here = made;
    }
    after = here ?? after;
  }
}

/** apply brings the badge, the buttons and the way to the app inside root up to date. */
export function apply(root: HTMLElement, s: LiveState): void {
  const badge = live(root, "badge");
  if (badge) {
    badge.className = `badge state text-bg-${s.state_color}`;
    const spinner = badge.querySelector(".spinner-border");
    if (s.ongoing && !spinner) {
      const made = document.createElement("span");
      made.className = "spinner-border";
      made.setAttribute("aria-hidden", "true");
      badge.prepend(made);
    } else if (!s.ongoing) {
      spinner?.remove();
    }
    setText(badge.querySelector("span:last-child"), s.state_shown);
  }
  const bell = live(root, "bell");
  if (bell) {
    bell.hidden = !s.state_bell;
    setText(bell, s.state_bell ?? "");
  }
  offer(root, s.allowed);
  for (const button of root.querySelectorAll<HTMLElement>("[data-action]")) {
    button.hidden = !s.allowed.includes(button.dataset.action ?? "");
  }
  const open = root.querySelector<HTMLAnchorElement>("[data-open]");
  if (open) open.href = (s.state === "running" && s.answering ? open.dataset.app : open.dataset.lobby) ?? "";
}
