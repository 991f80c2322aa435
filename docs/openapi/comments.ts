/** The comments of the interface, as texts of the document. */
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { getComments } from "@bufbuild/protoplugin";

/** In characters. A longer sentence is a summary up to its first colon or semicolon. */
const maxSummaryLength = 80;

/** What a comment says about an error: its gRPC code, its vAPI error if that is named, and when it is raised. */
export interface ErrorText {
  readonly grpc: string;
  readonly vapi: string | undefined;
  /** For example ` when there is no such item.` or `: the credentials are missing or not valid.`. */
  readonly text: string;
}

/** The comment of a part of the interface, as Markdown: one line a paragraph. */
export function textOf(desc: Parameters<typeof getComments>[0]): string {
  return paragraphsOf(desc).join("\n\n");
}

/** The comment of a method, without its paragraph about errors. */
export function operationTextOf(method: DescMethod): { summary: string; description?: string } {
  const description = paragraphsOf(method)
    .filter((paragraph) => !isAboutErrors(paragraph))
    .map((paragraph) => paragraph.replace(/ \(`[a-z_]+(?:\.[a-z_]+)+`\)/, ""))
    .join("\n\n");
  const [sentence = ""] = description.split(/\.(?:\s|$)/, 1);
  const [clause = ""] = sentence.split(/[:;] /, 1);
  const summary = sentence.length > maxSummaryLength ? clause : sentence;
  return { summary, ...(description !== `${summary}.` && { description }) };
}

/** The comment of a service, without its list of errors. */
export function serviceTextOf(service: DescService): string {
  return paragraphsOf(service)
    .filter((paragraph) => !isAboutErrors(paragraph) && !paragraph.startsWith("- "))
    .join("\n\n");
}

/** The errors of every method of a service. */
export function serviceErrorsOf(service: DescService): ErrorText[] {
  const list = paragraphsOf(service).find((paragraph) => paragraph.startsWith("- ")) ?? "";
  return errorsIn(list, /(?:^|\n)- (?=[A-Z_]+ \()/);
}

/** The errors that a method itself names. */
export function methodErrorsOf(method: DescMethod): ErrorText[] {
  const paragraph = paragraphsOf(method).find(isAboutErrors) ?? "";
  return errorsIn(paragraph.replace(/^Errors: /, ""), /; (?=[A-Z]+_?[A-Z]+ )/);
}

function errorsIn(text: string, separator: RegExp): ErrorText[] {
  return text.split(separator).flatMap((part) => {
    const [, grpc, vapi, rest] = /^([A-Z_]+)(?: \(`([A-Z_]+)`\))?(.*)$/s.exec(part) ?? [];
    if (grpc === undefined) return [];
    return [
      { grpc, vapi, text: rest!.replace("a `google.rpc.RetryInfo`", "`Retry-After`").replace(/\.?$/, ".") },
    ];
  });
}

function isAboutErrors(paragraph: string): boolean {
  return /^Errors(?::| of every method)/.test(paragraph);
}

/** Lines are joined, items of a list stay on lines of their own. */
function paragraphsOf(desc: Parameters<typeof getComments>[0]): string[] {
  const { leading = "" } = getComments(desc);
  return leading
    .split(/\n *\n/)
    .map((paragraph) => paragraph.trim().replace(/\s*\n\s*(- )?/g, (_, item) => (item ? `\n${item}` : " ")))
    .filter((paragraph) => paragraph !== "");
}
