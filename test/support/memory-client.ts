import { connect } from "../../src/client/index.ts";

// Run by itself: calls a server again and again, and writes by how many megabytes that made the process grow.

const [url = "", calls = "1"] = process.argv.slice(2);
await using server = connect({ url });
await server.items.get({ libraryItemId: "warm-up" }).catch(() => {});
const before = process.memoryUsage().rss;
const failures: string[] = [];
for (let index = 0; index < Number(calls); index++) {
  await server.items.get({ libraryItemId: "item" }).catch((error: Error) => failures.push(error.message));
}
const { maxRSS } = process.resourceUsage();
process.stdout.write(JSON.stringify({ grownMb: (maxRSS * 1024 - before) / 1e6, failure: failures.at(-1) }));
