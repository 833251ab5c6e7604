// The server's documents. The token is in the address's fragment, which no browser sends anywhere by itself.

export const token = location.hash.slice(1).length > 20 ? location.hash.slice(1) : sessionStorage.getItem("token") ?? "";
if (token) sessionStorage.setItem("token", token);

async function answer(request) {
  let got;
  try {
    got = await request;
  } catch {
    throw new Error("The server does not answer. Is lab serve still running?");
  }
  const said = await got.json().catch(() => ({ error: `the server answered with status ${got.status}` }));
  if (!got.ok) throw new Error([said.error, said.hint, ...(said.notes ?? [])].filter(Boolean).join("\n"));
  return said;
}

const headers = { "X-Lab-Token": token };

export const get = (path) => answer(fetch(path, { headers, cache: "no-store" }));

export const post = (path, body) =>
  answer(fetch(path, { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) }));

// Server-sent events, for as long as the page is open; a browser comes back by itself when the line is cut.
export function listen(handlers) {
  const source = new EventSource(`/api/live?token=${encodeURIComponent(token)}`);
  for (const name of ["state", "changes", "defect"]) {
    source.addEventListener(name, (event) => handlers[name](JSON.parse(event.data)));
  }
  source.addEventListener("error", () => {
    handlers.lost();
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => listen(handlers), 2000);
    }
  });
}
