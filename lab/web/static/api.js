// The server's documents. The token is in the address's fragment, which no browser sends anywhere by itself.

function given() {
  const fragment = location.hash.slice(1);
  return fragment.length > 20 ? fragment : "";  // a shorter one is a part of the page
}

export const token = given() || (sessionStorage.getItem("token") ?? "");
if (token) sessionStorage.setItem("token", token);

// Another run's address, put into the same tab, changes the fragment alone, for which no browser loads the page anew.
addEventListener("hashchange", () => {
  if (given() && given() !== token) location.reload();
});

async function answer(request) {
  let got;
  try {
    got = await request;
  } catch {
    throw new Error("The server does not answer. Is lab serve still running?");
  }
  const said = await got.json().catch(() => ({ error: `the server answered with status ${got.status}` }));
  if (!got.ok) {
    const words = [said.error, said.hint, ...(said.notes ?? [])].filter(Boolean).join("\n");
    throw Object.assign(new Error(words), { status: got.status });
  }
  return said;
}

const headers = { "X-Lab-Token": token };

export const get = (path) => answer(fetch(path, { headers, cache: "no-store" }));

export const post = (path, body) =>
  answer(fetch(path, { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify({ schemaVersion: 1, ...body }) }));

// Why this page is not served, in the server's own words; "" where it is, or where nobody answers.
async function refusal() {
  try {
    await get("/api/catalogue");
  } catch (error) {
    if (error.status === 403 || error.status === 421) return error.message;
  }
  return "";
}

// Server-sent events, for as long as the page is open; a browser comes back by itself when the line is cut.
export function listen(handlers) {
  const source = new EventSource(`/api/live?token=${encodeURIComponent(token)}`);
  for (const name of ["state", "changes", "defect"]) {
    source.addEventListener(name, (event) => handlers[name](JSON.parse(event.data)));
  }
  source.addEventListener("error", async () => {
    if (source.readyState !== EventSource.CLOSED) return handlers.lost();
    const refused = await refusal();  // an EventSource does not tell why
    if (refused) return handlers.refused(refused);
    handlers.lost();
    setTimeout(() => listen(handlers), 2000);
  });
}
