"""The program that the quickstart stops in: a sum of squares."""


def squares(limit):
    total = 0
    for number in range(limit):
        total += number * number
    return total  # stop here


if __name__ == "__main__":
    print("the sum is", squares(10), flush=True)
