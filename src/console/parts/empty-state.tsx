import type { ReactNode } from "react";

/** Stands where there is nothing to show, and says what to do first. */
export function EmptyState({ title, children }: { readonly title: string; readonly children: ReactNode }) {
  return (
    <section className="empty">
      <h2>{title}</h2>
      <div>{children}</div>
    </section>
  );
}
