import { createHash } from "node:crypto";
import type {
  ByteRange,
  ChecksumAlgorithm,
  ContentFile,
  ContentReader,
  ContentSource,
  ItemFile,
} from "../../src/domain/content-source.ts";
import type { VersionedFile } from "../../src/domain/preparation.ts";

export interface MemoryFile {
  readonly bytes: Uint8Array;
  readonly checksums?: ItemFile["checksums"];
  /** Called before each read with the number of bytes that were read; may wait or throw. */
  onRead?(position: number): Promise<void> | void;
}

/** One item in one version, whose files are made by tests. */
export class MemoryContent {
  readonly itemId = "item";
  contentVersion = "v1";
  readonly files = new Map<string, MemoryFile>();
  /** Called before a file is opened; may wait or throw. */
  onOpen: (fileName: string) => Promise<void> | void = () => {};
  /** Names of the files that were opened, in order. */
  readonly opened: string[] = [];
  openNow = 0;
  /** Bytes that one read returns at most. */
  maxReadBytes = Number.POSITIVE_INFINITY;

  /** As a content source with only the methods that tests expect calls of. */
  get source(): ContentSource {
    const parts: Partial<ContentSource> = {
      openFile: async (itemId, fileName, contentVersion) => {
        await this.onOpen(fileName);
        const file = this.files.get(fileName);
        if (itemId !== this.itemId || contentVersion !== this.contentVersion) return undefined;
        return file && this.#open(fileName, file);
      },
    };
    return parts as ContentSource;
  }

  add(name: string, file: MemoryFile): { readonly file: VersionedFile; readonly itemFile: ItemFile } {
    this.files.set(name, file);
    const { bytes, checksums } = file;
    return {
      file: { itemId: this.itemId, contentVersion: this.contentVersion, fileName: name },
      itemFile: { name, size: bytes.length, version: "1", ...(checksums && { checksums }) },
    };
  }

  #open(name: string, { bytes, onRead }: MemoryFile): ContentFile {
    this.opened.push(name);
    this.openNow++;
    const close = async () => {
      this.openNow--;
    };
    return {
      size: bytes.length,
      version: "1",
      reader: ({ start, end }: ByteRange = { start: 0, end: bytes.length - 1 }): ContentReader => {
        let position = start;
        return {
          read: async (into) => {
            await onRead?.(position);
            const length = Math.min(into.length, end + 1 - position, this.maxReadBytes);
            into.set(bytes.subarray(position, position + length));
            position += length;
            return length;
          },
        };
      },
      close,
      [Symbol.asyncDispose]: close,
    };
  }
}

export function digestOf(algorithm: ChecksumAlgorithm, bytes: Uint8Array): string {
  return createHash(algorithm.toLowerCase()).update(bytes).digest("hex");
}
