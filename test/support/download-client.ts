// A process that downloads `item` from the server at the first argument into the directory at the second.
// Tells its progress, and how it ended, as lines of JSON.
import { connect, DownloadError, downloadItem } from "../../src/client/index.ts";

const [, , url = "", directory = ""] = process.argv;

const tell = (what: object) => process.stdout.write(`${JSON.stringify(what)}\n`);

await using server = connect({ url });
try {
  const result = await downloadItem(server, {
    itemId: "item",
    directory,
    idleMs: 1_000,
    onProgress: ({ bytesDone, notice }) => tell({ bytesDone, notice }),
  });
  tell({ bytesFetched: result.bytesFetched });
} catch (error) {
  if (!(error instanceof DownloadError)) throw error;
  tell({ failed: error.reason });
  process.exitCode = 1;
}
