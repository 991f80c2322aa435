// Downloads an item with the client library: node download.ts URL ITEM DIRECTORY
//
// Credentials are in DOWNLEASE_TOKEN, or in DOWNLEASE_USER and DOWNLEASE_PASSWORD. Ctrl-C cancels; the same command
// resumes.
import { relative } from "node:path";
import { connect, DownloadError, type DownloadProgress, downloadItem } from "downlease/client";

const [, , url = "http://127.0.0.1:8080", itemId = "photon", directory = "downloads"] = process.argv;
const { DOWNLEASE_TOKEN: token, DOWNLEASE_USER: user, DOWNLEASE_PASSWORD: password } = process.env;

await using server = connect({
  url,
  ...(token !== undefined && { token }),
  ...(user !== undefined && password !== undefined && { user, password }),
});

const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());

let line = "";
function show({ percent, files, notice }: DownloadProgress): void {
  const done = files.filter(({ state }) => state === "done").length;
  line = `${done} of ${files.length} files, ${Math.floor(percent)} %`;
  if (process.stdout.isTTY)
    process.stdout.write(`\r\x1b[K${line}${notice === undefined ? "" : ` (${notice})`}`);
}

try {
  const { files } = await downloadItem(server, {
    itemId,
    directory,
    signal: interrupted.signal,
    onProgress: show,
  });
  process.stdout.write(process.stdout.isTTY ? "\n" : `${line}\n`);
  for (const { sha256, path } of files) process.stdout.write(`${sha256}  ${relative("", path)}\n`);
} catch (error) {
  if (!(error instanceof DownloadError)) throw error;
  process.stderr.write(`${error.message} (${error.reason})\n`);
  process.exitCode = 1;
}
