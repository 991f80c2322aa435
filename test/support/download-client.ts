// A process that downloads `item` from the server at the first argument into the directory at the second.
// Prints its progress and its result as lines of JSON.
import { connect, DownloadError, downloadItem } from "../../src/client/index.ts";

const [, , url = "", directory = ""] = process.argv;

const print = (facts: object) => process.stdout.write(`${JSON.stringify(facts)}\n`);

await using server = connect({ url });
try {
  const result = await downloadItem(server, {
    itemId: "item",
    directory,
    idleMs: 1_000,
    onProgress: ({ bytesDone, notice }) => print({ bytesDone, notice }),
  });
  print({ bytesFetched: result.bytesFetched });
} catch (error) {
  if (!(error instanceof DownloadError)) throw error;
  print({ failed: error.reason });
  process.exitCode = 1;
}
