// React as modules import it; its own package has only scripts and CommonJS.
export const { createContext, createElement, useCallback, useContext, useEffect, useMemo, useRef, useState, useSyncExternalStore } = React;
export const jsx = (type, { children, ...props }, key) => createElement(type, { ...props, key }, children);
export const jsxs = (type, { children, ...props }, key) => createElement(type, { ...props, key }, ...children);
export default React;
