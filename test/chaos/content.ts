import { createHash, randomBytes } from "node:crypto";
import { mkdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** What there is to download. */
export interface Content {
  readonly root: string;
  readonly items: readonly string[];
  /** Of every item, and small. */
  readonly files: readonly string[];
  /** Of every item; takes long to read for who reads slowly. */
  readonly hugeFile: string;
  /** SHA-256 in hexadecimal. */
  sha256(item: string, file: string): string;
}

const items = ["item-a", "item-b", "item-c"];
const hugeFile = "huge.bin";
const hugeBytes = 96 * 1024 * 1024;
const sizes = { "small.bin": 3000, "medium.bin": 200_000, "large.bin": 1_500_000 };

/** Writes a library of random bytes into a directory. */
export async function writeContent(directory: string): Promise<Content> {
  const root = join(directory, "library");
  const sums = new Map<string, string>();
  const zeros = createHash("sha256").update(Buffer.alloc(hugeBytes)).digest("hex");
  for (const item of items) {
    const folder = join(root, "lib", item);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, ".item.json"), JSON.stringify({ id: item }));
    // Takes no room.
    await writeFile(join(folder, hugeFile), "");
    await truncate(join(folder, hugeFile), hugeBytes);
    sums.set(`${item}/${hugeFile}`, zeros);
    for (const [file, size] of Object.entries(sizes)) {
      const bytes = randomBytes(size);
      sums.set(`${item}/${file}`, createHash("sha256").update(bytes).digest("hex"));
      await writeFile(join(folder, file), bytes);
    }
  }
  const sha256 = (item: string, file: string) => sums.get(`${item}/${file}`)!;
  return { root, items, files: Object.keys(sizes), hugeFile, sha256 };
}
