/** Whether another process holds a lock; the work has changed nothing. https://sqlite.org/rescode.html#busy */
export function isBusy(error: unknown): boolean {
  return resultCode(error) === 5;
}

/** Whether the file is broken, or no database. https://sqlite.org/rescode.html#corrupt and #notadb */
export function isDamage(error: unknown): boolean {
  const code = resultCode(error);
  return code === 11 || code === 26;
}

/** The upper bits of a code are details. */
function resultCode(error: unknown): number | undefined {
  const code = error instanceof Error && "errcode" in error ? error.errcode : undefined;
  return typeof code === "number" ? code & 0xff : undefined;
}
