let isEnd = true;

/**
 * Lets the process end without a word when nobody reads its output any more: whoever did has seen enough, as `head` has.
 */
export function endOnBrokenPipe(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    if (isEnd) process.exit(0);
  });
  process.stderr.on("error", () => {});
}

/** From now on the process goes on without being heard. */
export function outliveBrokenPipe(): void {
  isEnd = false;
}
