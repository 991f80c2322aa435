/** What an inspection of a part of the environment has found. */
export interface Finding {
  /** The part, for example `store`. */
  readonly about: string;
  readonly status: FindingStatus;
  /** What was found; when it is not ok, what to do as well. */
  readonly message: string;
}

export type FindingStatus = "ok" | "warning" | "wrong";

export const ok = findingMaker("ok");
export const warning = findingMaker("warning");
export const wrong = findingMaker("wrong");

function findingMaker(status: FindingStatus) {
  return (about: string, message: string): Finding => ({ about, status, message });
}
