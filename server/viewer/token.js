// The token of the link by which the page was opened: kept for this tab, and sent with every request.

const NAME = "token";
const address = new URL(location.href);
const given = address.searchParams.get(NAME);

if (given) {
  sessionStorage.setItem(NAME, given);
  address.searchParams.delete(NAME);
  history.replaceState(null, "", address);  // others may look at this screen, or get its address
}

/** A WebSocket of the server for whoever was given the token. */
export function openSocket(path) {
  const token = sessionStorage.getItem(NAME);
  const url = new URL(path, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  return new WebSocket(url, token ? ["bodydouble", `bearer.${token}`] : ["bodydouble"]);
}

/** `fetch` by whoever was given the token. */
export function request(path, { headers = {}, ...options } = {}) {
  const token = sessionStorage.getItem(NAME);
  return fetch(path, { ...options, headers: token ? { ...headers, Authorization: `Bearer ${token}` } : headers });
}
