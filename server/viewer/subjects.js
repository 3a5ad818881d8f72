// The subjects to choose from, each with its thumbnail.

import { request } from "./token.js";

export class Subjects {
  #dialog;
  #list;
  #names = "";

  /**
   * @param {HTMLDialogElement} dialog
   * @param {(name: string) => void} onChoice
   */
  constructor(dialog, onChoice) {
    this.#dialog = dialog;
    this.#list = dialog.querySelector("ul");
    this.onChoice = onChoice;
  }

  /** What there is, and what is shown now; choosing makes sense among several only. */
  update(names, present) {
    if (names.join() !== this.#names) {
      this.#names = names.join();
      this.#list.replaceChildren(...names.map((name) => this.#item(name)));
    }
    for (const button of this.#list.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.subject === present));
    }
  }

  get several() {
    return this.#list.children.length > 1;
  }

  open() {
    this.#dialog.showModal();
  }

  #item(name) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    const canvas = document.createElement("canvas");
    const label = document.createElement("span");
    label.textContent = name;
    Object.assign(button, { type: "button" }).dataset.subject = name;
    button.append(canvas, label);
    button.addEventListener("click", () => {
      this.#dialog.close();
      this.onChoice(name);
    });
    item.append(button);
    paint(canvas, `/subjects/${encodeURIComponent(name)}`).catch(() => { /* then there is the name alone */ });
    return item;
  }
}

async function paint(canvas, path) {
  const response = await request(path);
  if (!response.ok) return;
  const picture = await createImageBitmap(await response.blob());
  const side = Math.min(picture.width, picture.height);
  canvas.width = canvas.height = 256;
  canvas.getContext("2d").drawImage(
    picture, (picture.width - side) / 2, (picture.height - side) / 2, side, side, 0, 0, canvas.width, canvas.height,
  );
}
