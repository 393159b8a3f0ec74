/** Requests to the server. All addresses are relative, so that they carry the token of the page's address. */

/** Absolute address of a path of the server. MapLibre needs absolute ones; `new URL` would encode `{z}`. */
export function address(path) {
  return new URL(".", location.href).href + path;
}

/** Sentence of a failed answer. */
async function sentence(response) {
  try {
    return (await response.json()).error ?? response.statusText;
  } catch {
    return `The server answered with ${response.status} ${response.statusText}`;
  }
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer; start floodseg app again and open the address that it prints");
  }
  if (!response.ok) throw new Error(await sentence(response));
  return response.status === 204 ? null : response.json();
}

export function getJson(path) {
  return request(path);
}

export function postJson(path, body) {
  return request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

export function remove(path) {
  return request(path, { method: "DELETE" });
}
