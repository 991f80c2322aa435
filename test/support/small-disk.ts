import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { type TempDir, tempDir } from "./temp-dir.ts";

/** A directory that a program can fill. */
export interface SmallDisk extends AsyncDisposable {
  readonly path: string;
  /** Command and arguments that a program is to be started with, before its own. */
  readonly prefix: readonly string[];
  /** Grows the file system to so many bytes in all. */
  enlarge(bytes: number): void;
  remove(): Promise<void>;
}

/** A file system in memory of so many bytes. Without the right to mount, gives a `limitedDisk`. */
export async function smallDisk(bytes: number): Promise<SmallDisk> {
  const directory = await tempDir();
  return mount(directory, bytes) ?? limited(directory, bytes);
}

/**
 * A directory in which a program that is started by `prefix` can't make a file longer than so many bytes: the kernel
 * refuses the write as it does on a full disk, by another name.
 */
export async function limitedDisk(bytes: number): Promise<SmallDisk> {
  return limited(await tempDir(), bytes);
}

function mount(directory: TempDir, bytes: number): SmallDisk | undefined {
  const { path } = directory;
  const mounted = run("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", path]);
  if (!mounted) return undefined;
  const guard = startGuard(path);
  const remove = async () => {
    guard.ref();
    const gone = once(guard, "exit");
    guard.stdin!.end();
    await gone;
    await directory.remove();
  };
  return {
    path,
    prefix: [],
    enlarge: (size) => void run("mount", ["-o", `remount,size=${size}`, path]),
    remove,
    [Symbol.asyncDispose]: remove,
  };
}

function limited(directory: TempDir, bytes: number): SmallDisk {
  let prefix = ["prlimit", `--fsize=${bytes}`];
  return {
    path: directory.path,
    get prefix() {
      return prefix;
    },
    enlarge: (size) => {
      prefix = ["prlimit", `--fsize=${size}`];
    },
    remove: directory.remove,
    [Symbol.asyncDispose]: directory.remove,
  };
}

function run(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: "ignore" }).status === 0;
}

/** Unmounts when this process closes its input or ends, however that happens; see `process.ts`. */
function startGuard(path: string): ChildProcess {
  const script = 'read -r _; umount -l "$1"; rmdir "$1"';
  const guard = spawn("/bin/sh", ["-c", script, "guard", path], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  guard.unref();
  (guard.stdin as Socket).unref();
  return guard;
}
