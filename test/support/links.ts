import { eventually } from "./eventually.ts";
import { sessions, type ToldFile } from "./session-files.ts";

/** What a session tells of a file, over `/api`. */
export async function fileOf(
  url: string,
  sessionId: string,
  fileName: string,
  headers: Record<string, string> = {},
): Promise<ToldFile> {
  const query = new URLSearchParams({ file_name: fileName });
  const response = await fetch(`${url}${sessions}/${sessionId}/file?${query}`, { headers });
  return (await response.json()) as ToldFile;
}

/** Has a file prepared and gives its link. */
export async function linkTo(
  url: string,
  sessionId: string,
  fileName: string,
  headers: Record<string, string> = {},
): Promise<string> {
  const response = await fetch(`${url}${sessions}/${sessionId}/file?action=prepare`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ file_name: fileName }),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  const { download_endpoint } = await eventually(`${fileName} to be prepared`, async () => {
    const file = await fileOf(url, sessionId, fileName, headers);
    return file.status === "PREPARED" ? file : undefined;
  });
  return download_endpoint!.uri;
}

/** Whether a session is there, and its state. */
export async function stateOf(url: string, sessionId: string): Promise<string | undefined> {
  const response = await fetch(`${url}${sessions}/${sessionId}`);
  return response.ok ? ((await response.json()) as { state: string }).state : undefined;
}

export async function deleteSession(url: string, sessionId: string): Promise<void> {
  await fetch(`${url}${sessions}/${sessionId}`, { method: "DELETE" });
}

/** How many downloads run, as the metrics of a service tell. */
export async function runningDownloads(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^downlease_downloads_running (\d+)$/m.exec(text)?.[1]);
}
