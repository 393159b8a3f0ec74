/** Dialog that walks through the folders that the server allows. */

import { getJson } from "./api.js";
import { element, formatBytes, guarded } from "./dom.js";

export class FilePicker {
  constructor(folders) {
    this.folders = folders;
    this.title = element("h2", { id: "picker-title" });
    this.place = element("p", { class: "muted", "aria-live": "polite" });
    this.list = element("ul", { class: "picker" });
    const close = element("button", { type: "button", onclick: () => this.dialog.close() }, "Close");
    this.dialog = element("dialog", { "aria-labelledby": "picker-title" }, this.title, this.place, this.list, close);
  }

  /** Let the user choose a file; `take(path)` gets it. */
  async open(title, take) {
    this.take = take;
    this.title.textContent = `Choose a file: ${title}`;
    if (this.folders.length === 1) await this.#show(this.folders[0].name, "");
    else this.#roots();
    this.dialog.showModal();
  }

  #roots() {
    this.place.textContent = "Folders";
    this.list.replaceChildren(...this.folders.map(({ name, path }) => this.#entry(`${name}/`, path, () => this.#show(name, ""))));
  }

  async #show(folder, path) {
    const query = new URLSearchParams({ folder, path });
    const { folders, files, left_out: leftOut } = await getJson(`api/files?${query}`);
    this.place.textContent = [folder, path].filter(Boolean).join("/");
    const inside = (name) => [path, name].filter(Boolean).join("/");
    const up = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
    const back = path ? () => this.#show(folder, up) : () => this.#roots();
    const canGoUp = path || this.folders.length > 1;
    this.list.replaceChildren(
      ...(canGoUp ? [this.#entry("../", "up", back)] : []),
      ...folders.map((name) => this.#entry(`${name}/`, "", () => this.#show(folder, inside(name)))),
      ...files.map((file) => this.#entry(file.path.split("/").at(-1), file.bytes === null ? "" : formatBytes(file.bytes), () => this.#choose(file.path))),
    );
    if (leftOut) this.list.append(element("li", {}, `${leftOut} more entries are not shown.`));
    if (!this.list.children.length) this.list.append(element("li", {}, "No rasters or vectors here."));
    this.list.querySelector("button")?.focus();
  }

  #entry(name, note, action) {
    return element("li", {}, element("button", { type: "button", onclick: guarded(action) }, name), element("span", { class: "muted" }, ` ${note}`));
  }

  #choose(path) {
    this.dialog.close();
    this.take(path);
  }
}
