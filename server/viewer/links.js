// Links for other devices, as QR codes that the server draws.

import { request } from "./token.js";

/**
 * Fill a dialog with the codes of these roles, and open it.
 *
 * @param {HTMLDialogElement} dialog
 * @param {HTMLElement} box where in it the codes go
 * @param {string[]} roles
 * @param {boolean} camera whether whoever controls may publish a camera, which browsers give to https pages only
 */
export async function showLinks(dialog, box, roles, camera) {
  if (!roles.length || dialog.open) return;
  const secure = location.protocol === "https:";
  const meaning = { watch: "Watch", control: camera && secure ? "Control, and be the camera" : "Control" };
  const codes = await Promise.all(roles.map(async (role) => {
    const response = await request(`/link/${role}`);
    if (!response.ok) return null;
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = meaning[role];
    const svg = new DOMParser().parseFromString(await response.text(), "image/svg+xml").documentElement;
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `QR code: ${meaning[role]}`);
    figure.append(svg, caption);
    return figure;
  }));
  box.replaceChildren(...codes.filter(Boolean));
  dialog.querySelector("[data-insecure]").hidden = !camera || secure;
  dialog.showModal();
}
