import { useSyncExternalStore } from "react";
import { ItemDownload } from "./item-download.ts";

let downloads: readonly ItemDownload[] = [];
let version = 0;
const listeners = new Set<() => void>();

function changed(): void {
  version++;
  for (const listener of listeners) listener();
}

/** Starts a download, which runs on whatever page is shown. */
export function startDownload(
  item: { readonly id: string; readonly name: string },
  files: readonly { readonly name: string; readonly size: number }[],
  folder: FileSystemDirectoryHandle | undefined,
): void {
  const download = new ItemDownload(item, files, folder, changed);
  downloads = [...downloads, download];
  changed();
  void download.run();
}

/** Takes a download that is over off the list. */
export function dismiss(download: ItemDownload): void {
  downloads = downloads.filter((each) => each !== download);
  changed();
}

/** The downloads of this page, oldest first. */
export function useDownloads(): readonly ItemDownload[] {
  useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => version,
  );
  return downloads;
}

// A page that is closed ends its downloads: the browser asks first.
window.addEventListener("beforeunload", (event) => {
  if (downloads.some(({ isOver }) => !isOver)) event.preventDefault();
});
