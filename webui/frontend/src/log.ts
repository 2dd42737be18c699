// The box with a container's log.

/** LogBox shows the last lines and stays at the end while its reader is there. */
export class LogBox {
  constructor(private readonly box: HTMLElement, private readonly follow: HTMLElement | null,
    private readonly limit: number) {
    // One text node per line, so that the oldest can go.
    const lines = box.textContent ? box.textContent.split("\n") : [];
    box.textContent = "";
    this.append(lines);
    this.toEnd();
    box.addEventListener("scroll", () => this.mark(), { passive: true });
    follow?.addEventListener("click", () => this.toEnd());
  }

  append(lines: string[]): void {
    const atEnd = this.atEnd();
    const keep = lines.slice(-this.limit);
    const added = document.createDocumentFragment();
    for (const line of keep) added.append(document.createTextNode(line + "\n"));
    this.box.append(added);
    while (this.box.childNodes.length > this.limit) this.box.firstChild?.remove();
    if (atEnd) this.toEnd();
    else this.mark();
  }

  private atEnd(): boolean {
    return this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 24;
  }

  private toEnd(): void {
    this.box.scrollTop = this.box.scrollHeight;
    this.mark();
  }

  private mark(): void {
    if (this.follow) this.follow.hidden = this.atEnd();
  }
}
