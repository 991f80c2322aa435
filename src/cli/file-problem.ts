import { diskErrorMeaning } from "../client/disk.ts";
import { visible } from "../client/printable.ts";

/** What is wrong with a file or an output, as the end of a sentence. */
export function fileProblem(error: unknown): string {
  const code = error instanceof Error && "code" in error ? ` (${error.code})` : "";
  return `${diskErrorMeaning(error) ?? visible(String(error))}${code}`;
}
