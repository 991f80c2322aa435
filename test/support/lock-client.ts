// A process that takes a lock in the directory at the first argument again and again, as often as the second says, and
// makes sure each time that nobody else has it. Exits with 1 when somebody has.
import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { DiskLock } from "../../src/client/disk-lock.ts";
import { DownloadError } from "../../src/client/download-error.ts";

const [, , directory = "", times = ""] = process.argv;
const occupied = join(directory, "occupied");

for (let taken = 0; taken < Number(times); ) {
  try {
    using _ = DiskLock.acquire(directory, "item", "contended");
    mkdirSync(occupied);
    rmdirSync(occupied);
    taken += 1;
  } catch (error) {
    if (!(error instanceof DownloadError && error.reason === "busy")) throw error;
  }
}
