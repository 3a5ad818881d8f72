// Links for other devices, as QR codes that the server draws.

import { request } from "./token.js";

const MEANING = { watch: "Watch", control: "Control, and be the camera" };

/** Fill a dialog with the codes of these roles, and open it. */
export async function showLinks(dialog, box, roles) {
  if (!roles.length || dialog.open) return;
  const codes = await Promise.all(roles.map(async (role) => {
    const response = await request(`/link/${role}`);
    if (!response.ok) return null;
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = MEANING[role];
    const svg = new DOMParser().parseFromString(await response.text(), "image/svg+xml").documentElement;
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `QR code: ${MEANING[role]}`);
    figure.append(svg, caption);
    return figure;
  }));
  box.replaceChildren(...codes.filter(Boolean));
  dialog.showModal();
}
