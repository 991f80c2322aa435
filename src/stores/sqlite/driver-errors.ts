/** Whether SQLite failed (locked, full, damaged, input or output), or the database is closed. */
export function isDriverError(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ERR_SQLITE_ERROR" || code === "ERR_INVALID_STATE";
}

/** Whether another process holds a lock; the work has changed nothing. https://sqlite.org/rescode.html#busy */
export function isBusy(error: unknown): boolean {
  return resultCode(error) === 5;
}

/** Whether SQLite could not open or create a file. https://sqlite.org/rescode.html#cantopen */
export function isCannotOpen(error: unknown): boolean {
  return resultCode(error) === 14;
}

/** Whether SQLite may only read. https://sqlite.org/rescode.html#readonly */
export function isReadOnly(error: unknown): boolean {
  return resultCode(error) === 8;
}

/** The upper bits of a code are details. */
function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error && "errcode" in error && typeof error.errcode === "number")) return undefined;
  return error.errcode & 0xff;
}
