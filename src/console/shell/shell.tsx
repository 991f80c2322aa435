import { lazy, type ReactNode, Suspense, useEffect, useRef } from "react";
import { Button } from "react-aria-components";
import { Link, useLocation } from "wouter";
import { useIdentity } from "../login/identity.tsx";
import { useConnection } from "./connection.ts";
import { ThemeChoice } from "./theme.tsx";

const DownloadTray = lazy(async () => ({
  default: (await import("../libraries/download-tray.tsx")).DownloadTray,
}));

const pages = [
  { path: "/overview", title: "Overview", isForAdmins: true },
  { path: "/sessions", title: "Sessions" },
  { path: "/libraries", title: "Libraries" },
  { path: "/logins", title: "Logins and users", isForAdmins: true },
  { path: "/settings", title: "Settings", isForAdmins: true },
  { path: "/replicas", title: "Replicas", isForAdmins: true },
] as const;

/** What surrounds every page: the menu, who is logged in, and whether the service answers. */
export function Shell({ children }: { readonly children: ReactNode }) {
  const { identity, signOut } = useIdentity();
  const connection = useConnection();
  const isAdmin = identity.status === "signed in" && identity.isAdmin;
  const [location] = useLocation();
  const content = useContentFocus(location);
  return (
    <div className="shell">
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <header>
        <strong>downlease</strong>
        <nav aria-label="Pages">
          {pages
            .filter((page) => isAdmin || !("isForAdmins" in page))
            .map(({ path, title }) => (
              <Link key={path} href={path} aria-current={isBelow(path, location) ? "page" : undefined}>
                {title}
              </Link>
            ))}
        </nav>
        <ThemeChoice />
        {identity.status === "signed in" && (
          <span className="user">
            {identity.user}
            {identity.user !== "anonymous" && <Button onPress={() => void signOut()}>Log out</Button>}
          </span>
        )}
      </header>
      {connection === "lost" && (
        <p role="status" className="problem banner">
          The service does not answer. What you see may be old; it is asked again by itself.
        </p>
      )}
      <main id="content" ref={content} tabIndex={-1}>
        {children}
      </main>
      <Suspense>
        <DownloadTray />
      </Suspense>
    </div>
  );
}

/** An item belongs to the libraries. */
function isBelow(path: string, location: string): boolean {
  const page = location.startsWith("/items/") ? "/libraries" : location;
  return page === path || page.startsWith(`${path}/`);
}

/** Moves the focus to a new page, as a browser does by itself: it would stay in the menu. */
function useContentFocus(location: string) {
  const content = useRef<HTMLElement>(null);
  const before = useRef(location);
  useEffect(() => {
    if (location === before.current) return;
    before.current = location;
    content.current?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, [location]);
  return content;
}
