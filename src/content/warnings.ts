/** Reports something below the root that can't be content: its place there, and why it is left out. */
export type LeaveOut = (place: string, reason: string) => void;

export function leaveOutWith(warn: (message: string) => void): LeaveOut {
  return (place, reason) => warn(`${quote(place)} is left out: ${reason}`);
}

/** Names may hold control characters. */
function quote(place: string): string {
  return JSON.stringify(place);
}

/** The warning about a manifest that is broken. */
export function ignoredManifest(place: string, reason: string): string {
  return `${quote(place)} is ignored as a manifest: ${reason}`;
}

/** Leaves out all but the first of several libraries, or items, with one id. */
export function withUniqueIds<T extends { readonly id: string; readonly place: string }>(
  places: Iterable<T>,
  leaveOut: LeaveOut,
): T[] {
  const unique = new Map<string, T>();
  for (const one of places) {
    const first = unique.get(one.id);
    if (first === undefined) unique.set(one.id, one);
    else leaveOut(one.place, `its id ${one.id} belongs to ${quote(first.place)}`);
  }
  return [...unique.values()];
}

const maxRememberedWarnings = 1_000;

/** Passes each message on once, as long as it is among the last thousand or so. */
export function warnOnce(warn: (message: string) => void): (message: string) => void {
  const remembered = new Set<string>();
  return (message) => {
    if (remembered.has(message)) return;
    if (remembered.size >= maxRememberedWarnings) remembered.clear();
    remembered.add(message);
    warn(message);
  };
}
