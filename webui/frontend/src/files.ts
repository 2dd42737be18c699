// Small files: uploads with progress, one file after the other, and links put into a container's command.

export function startUpload(form: HTMLFormElement): void {
  const input = form.querySelector<HTMLInputElement>("input[type=file]")!;
  const button = form.querySelector("button")!;
  const list = form.querySelector<HTMLElement>(".uploads")!;
  const max = Number(form.dataset.max);
  form.querySelector<HTMLElement>("[data-drop]")!.hidden = false;
  let busy = false;

  const uploadAll = async (files: File[]) => {
    if (busy || !files.length) return;
    busy = button.disabled = true;
    list.replaceChildren();
    list.hidden = false;
    // All are shown before the first begins.
    const waiting = files.map((file) => ({ file, line: addLine(list, file.name) }));
    let failed = false;
    for (const { file, line } of waiting) {
      const wrong = file.size > max ? `is too large: a file may have ${form.dataset.maxText} at most` : await upload(form, file, line);
      line.tell(wrong ?? "stored", wrong !== undefined);
      failed ||= wrong !== undefined;
    }
    busy = button.disabled = false;
    input.value = "";
    if (!failed) location.reload();
    else addReload(list);
  };

  form.addEventListener("submit", (e) => {
    e.preventDefault();
    uploadAll([...(input.files ?? [])]);
  });
  for (const kind of ["dragenter", "dragover"]) {
    form.addEventListener(kind, (e) => {
      e.preventDefault();
      form.classList.add("over");
    });
  }
  form.addEventListener("dragleave", (e) => {
    if (!form.contains(e.relatedTarget as Node)) form.classList.remove("over");
  });
  form.addEventListener("drop", (e) => {
    e.preventDefault();
    form.classList.remove("over");
    uploadAll([...(e.dataTransfer?.files ?? [])]);
  });
}

interface Line {
  progress: HTMLProgressElement;
  tell(text: string, bad: boolean): void;
}

function addLine(list: HTMLElement, name: string): Line {
  const item = list.appendChild(document.createElement("li"));
  const label = item.appendChild(document.createElement("span"));
  label.textContent = name;
  const progress = item.appendChild(document.createElement("progress"));
  progress.max = 1;
  progress.value = 0;
  progress.setAttribute("aria-label", name);
  const state = item.appendChild(document.createElement("span"));
  return {
    progress,
    tell(text, bad) {
      progress.hidden = bad;
      progress.value = 1;
      state.textContent = text;
      state.className = bad ? "text-danger" : "text-success";
    },
  };
}

function addReload(list: HTMLElement): void {
  const link = list.appendChild(document.createElement("li")).appendChild(document.createElement("a"));
  link.href = location.pathname;
  link.textContent = "Show the list anew";
}

// upload sends one file, and says what went wrong.
function upload(form: HTMLFormElement, file: File, line: Line): Promise<string | undefined> {
  return new Promise((resolve) => {
    const data = new FormData();
    data.append("csrf_token", form.querySelector<HTMLInputElement>("[name=csrf_token]")!.value);
    data.append("file", file, file.name);
    const request = new XMLHttpRequest(); // fetch tells no progress
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    request.upload.addEventListener("progress", (e) => { if (e.lengthComputable) line.progress.value = e.loaded / e.total; });
    request.addEventListener("load", () => {
      if (request.status === 200) resolve(undefined);
      else resolve(message(request.response, file.name) ?? `was not stored (${request.status})`);
    });
    request.addEventListener("error", () => resolve("was not stored: the connection broke off"));
    request.send(data);
  });
}

// message leaves out the name, which the line begins with.
function message(answer: { message?: string } | null, name: string): string | undefined {
  const text = answer?.message;
  return text?.startsWith(`${name}: `) ? text.slice(name.length + 2) : text;
}

export function startInsert(part: HTMLElement): void {
  const field = document.getElementById(part.dataset.insert ?? "") as HTMLTextAreaElement | null;
  const select = part.querySelector("select")!;
  if (!field) return;
  part.hidden = false;
  part.querySelector("button")!.addEventListener("click", () => {
    field.setRangeText(select.value, field.selectionStart, field.selectionEnd, "end");
    field.focus();
  });
}
