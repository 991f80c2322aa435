export interface LoggedCause {
  readonly name: string;
  readonly code?: string | undefined;
  readonly message: string;
  /** The innermost stack frames. */
  readonly at?: readonly string[];
}

/**
 * Describes the cause of a failure for the log. Never the whole object: drivers attach the arguments of their commands
 * to their errors, and those contain ids.
 */
export function causeOf(cause: unknown): LoggedCause | undefined {
  if (cause === undefined) return undefined;
  if (!(cause instanceof Error)) return { name: typeof cause, message: truncate(String(cause), 500) };
  const { code } = cause as NodeJS.ErrnoException;
  return {
    name: cause.name,
    code: typeof code === "string" ? code : undefined,
    message: truncate(cause.message, 500),
    at: framesOf(cause),
  };
}

function framesOf({ stack = "" }: Error): string[] {
  return stack
    .split("\n")
    .filter((line) => line.startsWith("    at "))
    .slice(0, 5)
    .map((line) => line.slice("    at ".length));
}

function truncate(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
