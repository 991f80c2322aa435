import { eventually } from "./eventually.ts";
import { type FileView, sessions } from "./session-files.ts";

/** A file of a session, over `/api`. */
export async function fileOf(
  url: string,
  sessionId: string,
  fileName: string,
  headers: Record<string, string> = {},
): Promise<FileView> {
  const query = new URLSearchParams({ file_name: fileName });
  const response = await fetch(`${url}${sessions}/${sessionId}/file?${query}`, { headers });
  return (await response.json()) as FileView;
}

/** Prepares a file and resolves with its link. */
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

/** The state of a session; undefined when there is no such session. */
export async function stateOf(
  url: string,
  sessionId: string,
  headers: Record<string, string> = {},
): Promise<string | undefined> {
  const response = await fetch(`${url}${sessions}/${sessionId}`, { headers });
  return response.ok ? ((await response.json()) as { state: string }).state : undefined;
}

export async function deleteSession(url: string, sessionId: string): Promise<void> {
  await fetch(`${url}${sessions}/${sessionId}`, { method: "DELETE" });
}

/** How many downloads are running, or were within the last second, by the metrics of a service. */
export async function runningDownloads({ adminUrl }: { readonly adminUrl: string }): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  return Number(/^downlease_downloads_running (\d+)$/m.exec(text)?.[1]);
}
