// How the gateway is asked. Knows its addresses and the token, and nothing of the page.

let token = sessionStorage.getItem("token");

/** The gateway wants a token, or another one. */
export class TokenNeeded extends Error {}

export function signIn(text) {
  token = text;
  sessionStorage.setItem("token", text);
}

/** The answer, or an error with the gateway's own words. */
export async function ask(method, path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const query = new URLSearchParams(given).toString();
  const headers = { "X-Switchover-Admin": "1" };
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    const signal = AbortSignal.timeout(10_000);
    response = await fetch(query ? `${path}?${query}` : path, { method, headers, cache: "no-store", signal });
  } catch {
    throw new Error("The gateway does not answer.");
  }
  const answer = await response.json().catch(() => ({ error: `an answer with status ${response.status} that is no JSON` }));
  if (response.status === 401) {
    const wasWrong = token !== null;
    sessionStorage.removeItem("token");
    token = null;
    throw new TokenNeeded(wasWrong ? answer.error : "");
  }
  if (!response.ok) throw new Error(answer.error);
  return answer;
}
