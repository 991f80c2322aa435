/** Where a download writes one file. */
export interface FileTarget {
  /** Bytes that are there. */
  readonly length: number;
  write(chunk: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Starts again from nothing. */
  truncate(): Promise<void>;
  /** Makes the file appear under its name. */
  commit(): Promise<void>;
  /** Leaves nothing behind. */
  discard(): Promise<void>;
}

declare global {
  interface Window {
    /** Not in every browser: https://wicg.github.io/file-system-access/ */
    showDirectoryPicker?(options: { mode: "readwrite"; id: string }): Promise<FileSystemDirectoryHandle>;
  }
}

/** Whether pages may write into a folder that the user chooses. */
export const canWriteFiles = window.showDirectoryPicker !== undefined;

/** Lets the user choose a folder; undefined when they do not. */
export async function chooseFolder(): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    return await window.showDirectoryPicker?.({ mode: "readwrite", id: "downlease" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return undefined;
    throw error;
  }
}

/** Opens a file of a folder; the browser keeps what is written apart until it is committed. */
export async function openTarget(folder: FileSystemDirectoryHandle, name: string): Promise<FileTarget> {
  const parts = name.split("/");
  const last = parts.pop()!;
  let parent = folder;
  for (const part of parts) parent = await parent.getDirectoryHandle(part, { create: true });
  const handle = await parent.getFileHandle(last, { create: true });
  const stream = await handle.createWritable();
  let length = 0;
  return {
    get length() {
      return length;
    },
    async write(chunk) {
      await stream.write(chunk);
      length += chunk.length;
    },
    async truncate() {
      await stream.truncate(0);
      await stream.seek(0);
      length = 0;
    },
    commit: () => stream.close(),
    async discard() {
      await stream.abort().catch(() => {});
      await parent.removeEntry(last).catch(() => {});
    },
  };
}
