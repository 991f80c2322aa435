/** How far a download is. */
export interface DownloadProgress {
  /** 0 to 100, of the bytes. */
  readonly percent: number;
  /** Bytes that are on the disk, those of earlier runs included. Falls when a file has to be started over. */
  readonly bytesDone: number;
  readonly bytesTotal: number;
  readonly files: readonly FileProgress[];
  /** What the download waits for, or has had to do, in a sentence; unset when all goes well. */
  readonly notice?: string;
}

export interface FileProgress {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly bytesDone: number;
  readonly state: FileState;
}

export type FileState = "waiting" | "preparing" | "downloading" | "verifying" | "done";
