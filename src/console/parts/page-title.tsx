import { type ReactNode, useEffect } from "react";

/** The heading of a page, which names the tab of the browser as well. */
export function PageTitle({ title, children }: { readonly title: string; readonly children?: ReactNode }) {
  useEffect(() => {
    document.title = `${title} – downlease`;
  }, [title]);
  return <h1>{children ?? title}</h1>;
}
