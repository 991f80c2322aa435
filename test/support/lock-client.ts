// A process that acquires a lock in the directory of the first argument as often as the second says. It checks each time
// that no other process holds the lock, and exits with 1 if one does.
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
