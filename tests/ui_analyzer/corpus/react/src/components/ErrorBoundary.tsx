import { Component, type ErrorInfo, type ReactNode } from "react";
import { report } from "../lib/report";

interface Props {
  children: ReactNode;
}

export class ErrorBoundary extends Component<Props, { failed: boolean }> {
  state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  componentDidCatch(error: Error, info: ErrorInfo) {
    report(error, info.componentStack);
  }

  render() {
    if (this.state.failed) {
      return (
        <div role="alert">
          <h2>Something went wrong</h2>
          <button type="button" onClick={() => this.setState({ failed: false })}>
            Try again
          </button>
        </div>
      );
    }
    return this.props.children;
  }
}
