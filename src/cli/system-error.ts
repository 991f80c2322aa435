/** The innermost error with a code of the system or of Node.js. */
export function systemError(error: unknown): NodeJS.ErrnoException | undefined {
  let innermost: NodeJS.ErrnoException | undefined;
  for (let each = error; each instanceof Error; each = each.cause) {
    if (typeof (each as NodeJS.ErrnoException).code === "string") innermost = each;
  }
  return innermost;
}
